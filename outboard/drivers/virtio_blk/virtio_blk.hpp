// Virtio block devices.
#pragma once

#include "outboard/classes/driver.hpp"

namespace outboard::virtio_blk {

/// The entry for the table of drivers. Options it knows: command_timeout (default 30 s), reset_timeout
/// (default 10 s), write_cache, completion (adaptive is as interrupt), queues.
extern const DriverDescription description;

}  // namespace outboard::virtio_blk
