// A driver as a shared object: what it exports, and what its file says of it without being run.
//
// A module brings its driver and nothing else. What the driver uses of classes/, device/, runtime/ and base/
// is the program's own: there is one Device and one RunLoop in a process. So a module fits the programs of
// one interface version only. How one is built: docs/modules.md.
#pragma once

#include "outboard/classes/driver.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace outboard {

/// Raised with every change of what a driver sees of classes/ and the layers below: a type's layout, a
/// function's parameters, what either means.
inline constexpr std::uint32_t driver_interface_version = 2;

/// The one symbol that a module exports, `outboard_driver`.
struct DriverModule {
    static constexpr std::uint64_t expected_magic = 0x6472616f6274756f;  ///< "outboard"

    std::uint64_t magic = expected_magic;
    std::uint32_t interface_version = driver_interface_version;
    std::uint32_t description_bytes = sizeof(DriverDescription);
    const DriverDescription* description = nullptr;
};

/// An ELF note in the module's file says what it can drive: whoever looks for a driver, and may have rights
/// that the driver shall never have, reads it and runs nothing. Numbers are the machine's own.
namespace module_note {

inline constexpr std::string_view owner = "Outboard";
inline constexpr std::uint32_t type = 1;

/// A PciMatch.
struct Device {
    std::uint32_t class_code = 0;
    std::uint32_t class_mask = 0;
    std::uint16_t vendor = 0;
    std::uint16_t device = 0;
    std::array<char, 48> name{};  ///< ends with the first zero, or with the array
};
static_assert(sizeof(Device) == 60);

struct Head {
    std::uint32_t interface_version = driver_interface_version;
    std::uint32_t devices = 0;  ///< how many follow
    std::array<char, 32> driver{};
};
static_assert(sizeof(Head) == 40);

/// As it lies in the file: System V ABI, "Note Section", then Head and devices.
template <std::size_t count>
struct Note {
    std::uint32_t owner_bytes = owner.size() + 1;
    std::uint32_t content_bytes = sizeof(Head) + count * sizeof(Device);
    std::uint32_t note_type = type;
    std::array<char, 12> owner_name{};  ///< owner_bytes, and padding to a multiple of 4
    Head head;
    std::array<Device, count> devices;
};

/// A text that does not fit is cut short.
template <std::size_t size>
constexpr std::array<char, size> text(std::string_view from) {
    std::array<char, size> to{};
    std::ranges::copy(from.substr(0, size), to.begin());
    return to;
}

template <std::size_t count>
constexpr Note<count> make(std::string_view driver, const std::array<PciMatch, count>& devices) {
    Note<count> note{.owner_name = text<12>(owner), .head = {}, .devices = {}};
    note.head.devices = count;
    note.head.driver = text<32>(driver);
    std::ranges::transform(devices, note.devices.begin(), [](const PciMatch& match) {
        return Device{.class_code = match.class_code,
                      .class_mask = match.class_mask,
                      .vendor = match.vendor,
                      .device = match.device,
                      .name = text<48>(match.name)};
    });
    return note;
}

}  // namespace module_note

}  // namespace outboard

/// Makes a shared object a module: once in it, outside of any namespace. Name and devices (a constexpr array
/// of PciMatch) are those of the DriverDescription.
#define OUTBOARD_DRIVER_MODULE(driver_name, driver_devices, driver_description)               \
    [[gnu::section(".note.outboard"), gnu::used,                                              \
      gnu::aligned(4)]] static constinit const auto outboard_module_note =                    \
        ::outboard::module_note::make(driver_name, driver_devices);                           \
    extern "C" [[gnu::visibility("default")]] const ::outboard::DriverModule outboard_driver; \
    [[gnu::used]] const ::outboard::DriverModule outboard_driver {                            \
        .description = &(driver_description)                                                  \
    }
