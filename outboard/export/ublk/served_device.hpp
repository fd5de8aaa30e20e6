// The ublk devices that this program serves, served, or left behind.
#pragma once

#include "outboard/export/ublk/control.hpp"
#include "outboard/export/ublk/served_disk.hpp"
#include "outboard/export/ublk/uapi.hpp"
#include "outboard/runtime/task.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace outboard::ublk {

/// A ublk device that Outboard made.
struct ServedDevice {
    DeviceInfo info{};
    ServedDisk disk;

    DeviceState state() const noexcept { return static_cast<DeviceState>(info.state); }
    std::string path() const { return disk_path(info.device_id); }
    /// A process serves it. False for one that was left behind by a process that is gone.
    bool has_server() const noexcept;
};

/// All of them, by number. Throws Error like Control; an empty list when the kernel has no ublk device at
/// all.
Task<std::vector<ServedDevice>> find_served_devices(Control& control);

/// What to tell the user of one that was left behind: its state, and how to take it over or remove it.
std::string describe_left_behind(const ServedDevice& device);

}  // namespace outboard::ublk
