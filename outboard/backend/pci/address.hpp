// The address of a PCI function.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace outboard {

/// Domain, bus, device and function; written in full and only so: "0000:00:04.0".
struct PciAddress {
    std::uint32_t domain = 0;
    std::uint8_t bus = 0;
    std::uint8_t device = 0;    ///< 0 … 31
    std::uint8_t function = 0;  ///< 0 … 7

    /// True when `text` has the form of an address: four to eight hexadecimal digits, ':', two, ':', two (at
    /// most 1f), '.', one (at most 7).
    static bool has_form(std::string_view text) noexcept;

    /// Reads an address. Throws Error (usage) that shows the form and how to find devices.
    static PciAddress parse(std::string_view text);

    /// The address in full, lower case: as the kernel names it.
    std::string text() const;

    friend constexpr auto operator<=>(const PciAddress&, const PciAddress&) noexcept = default;
};

}  // namespace outboard
