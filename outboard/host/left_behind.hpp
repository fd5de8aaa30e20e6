// Block devices of a device that an earlier process left behind, for the one that goes on with them.
#pragma once

#include "outboard/backend/device_name.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/export/ublk/control.hpp"
#include "outboard/export/ublk/served_device.hpp"
#include "outboard/runtime/task.hpp"

#include <span>
#include <vector>

namespace outboard {

/// The block devices of all disks of `device` whose process is gone. Throws Error; busy when a process serves
/// one of the device's disks: it has the whole device. `wanted` are the disks that the caller is about to
/// serve (none: all), for the message.
Task<std::vector<ublk::ServedDevice>> find_left_behind(ublk::Control& control, DeviceName device,
                                                       std::vector<unsigned> wanted);

/// The one among `devices` that was left behind with disk `number`, or null.
const ublk::ServedDevice* of_disk(std::span<const ublk::ServedDevice> devices, unsigned number) noexcept;

/// Throws Error (busy) when `device` was left behind with another disk than the one that has its place now,
/// which is marked with `mark`. Two disks of one size can change places: one does not answer, and the next
/// takes its index. What waits for the first must not be written to the second.
void require_same_disk(const ublk::ServedDevice& device, const ublk::ServedDisk& mark, const DeviceName& name,
                       const BlockInfo& info);

}  // namespace outboard
