// ATA disks on PCI IDE controllers.
#pragma once

#include "outboard/classes/driver.hpp"

namespace outboard::ide {

/// The entry for the table of drivers. Options it knows: command_timeout (default 30 s), write_cache, dma,
/// interrupts.
extern const DriverDescription description;

}  // namespace outboard::ide
