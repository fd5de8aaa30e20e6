// What controls the ublk device of a disk, apart from what serves it: it may be another process, and it need
// know no more of the disk than its description.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/export/ublk/control.hpp"
#include "outboard/export/ublk/served_device.hpp"
#include "outboard/export/ublk/served_disk.hpp"
#include "outboard/export/ublk/uapi.hpp"
#include "outboard/runtime/task.hpp"

#include <cstdint>
#include <string>

namespace outboard::ublk {

/// What a new device shall be.
struct DeviceWish {
    ServedDisk disk;  ///< what the device is marked with
    /// Requests at once on each queue, 1 … max_queue_depth.
    std::uint16_t queue_depth = 32;
    /// At most what the disk has; the kernel makes at most one for each processor.
    std::uint16_t queues = 1;
    /// Requests and results many at a time (feature::batch_io) where the kernel has that.
    bool batch = false;
};

/// Makes a device for a disk of this description; it has no disk until it is started. Throws Error; then
/// there is none.
Task<DeviceInfo> make_device(Control& control, BlockInfo disk, DeviceWish wish);

/// What is known of a device that lost its server.
struct Continuation {
    std::string obstacle;  ///< why this disk cannot go on with it; empty when it can
    /// It was announced as a disk without a volatile cache, and this one has one: nobody sends flushes.
    bool stable_writes = false;
};

/// Whether a disk of this description can go on with the device. Throws Error.
Task<Continuation> examine(Control& control, BlockInfo disk, ServedDevice device);

/// Opens the file that a device is served through. Throws Error; busy while another process has it open.
Fd open_server_file(std::uint32_t device_id);

}  // namespace outboard::ublk
