// The driver of AHCI host bus adapters (Serial ATA AHCI 1.3.1) and the ATA disks behind them. docs/ahci.md
// says how it behaves.
#pragma once

#include "outboard/classes/driver.hpp"

#include <array>

namespace outboard::ahci {

/// Mass storage, serial ATA, AHCI (PCI Code and ID Assignment, 1.2).
inline constexpr std::array devices{
    PciMatch{.class_code = 0x010601, .class_mask = 0xffffff, .name = "AHCI controller"}};

/// The entry for the table of drivers. Options it knows: command_timeout (default 30 s), reset_timeout
/// (default 30 s: of a disk after a reset), write_cache, interrupts.
extern const DriverDescription description;

}  // namespace outboard::ahci
