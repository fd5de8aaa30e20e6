// Disks of one device served as /dev/ublkbN, from finding what an earlier process left behind to the orderly
// end.
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
#include <vector>

namespace outboard {

/// What is served once it is ready.
struct DiskService {
    std::string path;     ///< "/dev/ublkb0"
    unsigned number = 0;  ///< of the disk, in the driver's order
    const BlockInfo* info = nullptr;
    std::uint16_t queues = 1;
    std::uint16_t queue_depth = 0;
    bool batched = false;     ///< the kernel hands over several requests at a time (UBLK_F_BATCH_IO)
    bool taken_over = false;  ///< an earlier process had left it behind
};

struct ServeOptions {
    DeviceName device;
    std::vector<unsigned> disks{0};  ///< their numbers in the driver's order, each once; none: all there are
    /// For each disk, at most what it has and one for each processor; 0: as many as that. A device taken over
    /// keeps its own number.
    std::uint16_t queues = 0;
    std::uint16_t queue_depth = 32;  ///< the kernel's requests at once on each queue; likewise
    bool batch = false;              ///< see DiskService::batched; where the kernel can
    std::chrono::seconds grace{10};  ///< at the end: how long users of the disks may take to let them go
    DriverOptions driver;            ///< its `report` also takes what this service has to say
    std::function<void(const DiskService&)> ready;  ///< called for each disk, once all can be used
};

/// Serves the disks until a stop signal comes, then ends: waits for users of the disks (at most `grace`, or
/// until a second signal), syncs what they have written, takes the disks away and gives the device back. All
/// or none: when one cannot be served, those that were new are gone again, and those that had been taken over
/// are left behind as before. Throws Error; busy when another process serves a disk of the device. A signal
/// before it is ready ends it with Cancelled, all undone.
Task<void> serve_disks(RunLoop& loop, StopSignals& signals, ServeOptions options);

}  // namespace outboard
