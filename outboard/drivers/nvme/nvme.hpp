// NVMe controllers and their namespaces.
#pragma once

#include "outboard/classes/driver.hpp"

namespace outboard::nvme {

/// The entry for the table of drivers. Options it knows: command_timeout (default 30 s), reset_timeout
/// (default: what the controller states), write_cache, interrupts, queues.
extern const DriverDescription description;

}  // namespace outboard::nvme
