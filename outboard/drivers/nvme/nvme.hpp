// NVMe controllers and their namespaces.
#pragma once

#include "outboard/classes/driver.hpp"

#include <array>

namespace outboard::nvme {

/// Mass storage, non-volatile memory, NVM Express I/O controller (PCI Code and ID Assignment, 1.2).
inline constexpr std::array devices{
    PciMatch{.class_code = 0x010802, .class_mask = 0xffffff, .name = "NVM Express controller"}};

/// The entry for the table of drivers. Options it knows: command_timeout (default 30 s), reset_timeout
/// (default: what the controller states), write_cache, interrupts, queues.
extern const DriverDescription description;

}  // namespace outboard::nvme
