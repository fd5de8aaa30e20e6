// ATA disks on PCI IDE controllers.
#pragma once

#include "outboard/classes/driver.hpp"
#include "outboard/drivers/ide/controller_table.hpp"

#include <algorithm>
#include <array>

namespace outboard::ide {

/// Those that are known by name, then any other.
inline constexpr std::array devices = [] {
    std::array<PciMatch, known_controllers.size() + 1> entries;
    std::ranges::transform(known_controllers, entries.begin(), [](const ControllerQuirks& known) {
        return PciMatch{.vendor = known.vendor, .device = known.device, .name = known.name};
    });
    entries.back() = any_controller;
    return entries;
}();

/// The entry for the table of drivers. Options it knows: command_timeout (default 30 s), write_cache, dma,
/// interrupts.
extern const DriverDescription description;

}  // namespace outboard::ide
