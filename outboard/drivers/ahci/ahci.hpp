// The driver of AHCI host bus adapters (Serial ATA AHCI 1.3.1) and the ATA disks behind them. docs/ahci.md
// says how it behaves.
#pragma once

#include "outboard/classes/driver.hpp"

namespace outboard::ahci {

/// The entry for the table of drivers. Options it knows: command_timeout (default 30 s), reset_timeout
/// (default 30 s: of a disk after a reset), write_cache, interrupts.
extern const DriverDescription description;

}  // namespace outboard::ahci
