// What identifies a PCI function.
#pragma once

#include <cstdint>

namespace outboard {

/// PCI Local Bus 3.0, 6.2.1.
struct PciIdentity {
    std::uint16_t vendor = 0;
    std::uint16_t device = 0;
    std::uint16_t subsystem_vendor = 0;
    std::uint16_t subsystem = 0;
    std::uint8_t revision = 0;
    std::uint8_t base_class = 0;
    std::uint8_t sub_class = 0;
    std::uint8_t programming_interface = 0;

    friend constexpr bool operator==(const PciIdentity&, const PciIdentity&) noexcept = default;
};

}  // namespace outboard
