// Ending the services of a device from outside: those of a running process, and those that a killed one left
// behind.
#pragma once

#include "outboard/backend/device_name.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <functional>
#include <string_view>

namespace outboard {

struct EndOptions {
    DeviceName device;
    bool force = false;  ///< remove a disk that was left behind also when it is in use: its users see errors
    std::function<void(std::string_view)> report;  ///< takes a line for each thing that was done
};

/// Asks every process that serves a disk of the device to end and waits for that (at most 180 s: it waits for
/// users of the disk), and removes the block devices that were left behind; what waits on those fails. The
/// PCI device goes back to its old driver when it was taken from it. Throws Error: not_found when there is
/// nothing to end; busy when a disk that was left behind is in use.
Task<void> end_services(RunLoop& loop, EndOptions options);

}  // namespace outboard
