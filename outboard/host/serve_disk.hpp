// A disk served as /dev/ublkbN, from finding what an earlier process left behind to the orderly end.
#pragma once

#include "outboard/backend/device_name.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/classes/driver.hpp"
#include "outboard/host/stop_signals.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace outboard {

/// What is served once it is ready.
struct DiskService {
    std::string path;  ///< "/dev/ublkb0"
    const BlockInfo* info = nullptr;
    std::uint16_t queue_depth = 0;
    bool taken_over = false;  ///< an earlier process had left it behind
};

struct ServeOptions {
    DeviceName device;
    unsigned disk = 0;
    std::uint16_t queue_depth = 32;  ///< requests of the kernel at once; a device taken over keeps its own
    std::chrono::seconds grace{10};  ///< at the end: how long users of the disk may take to let it go
    DriverOptions driver;            ///< its `report` also takes what this service has to say
    std::function<void(const DiskService&)> ready;  ///< called once the disk can be used
};

/// Serves the disk until a stop signal comes, then ends: waits for users of the disk (at most `grace`, or
/// until a second signal), syncs what they have written, takes the disk away and gives the device back.
/// Throws Error; busy when another process serves the disk. A signal before it is ready ends it with
/// Cancelled, all undone.
Task<void> serve_disk(RunLoop& loop, StopSignals& signals, ServeOptions options);

}  // namespace outboard
