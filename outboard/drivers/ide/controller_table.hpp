// The PCI IDE controllers this driver knows, and where each departs from "PCI IDE Controller
// Specification" 1.0 and "Bus Master IDE" 1.0. What is special about a controller stands here and nowhere
// else in the driver.
#pragma once

#include "outboard/classes/driver.hpp"
#include "outboard/device/config_space.hpp"
#include "outboard/device/region.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace outboard::ide {

/// Bits in configuration space (one byte) or in a memory region (four bytes).
struct RegisterBits {
    enum class Space : std::uint8_t { none, config, bar5 };
    Space space = Space::none;
    std::uint16_t offset = 0;
    std::uint32_t bits = 0;
    std::uint32_t write_as_zero =
        0;  ///< other bits of the register that a write must not set: write-one-to-clear
};

/// Register blocks of both channels in one memory region, for controllers that have that too.
struct MemoryLayout {
    RegionIndex region = RegionIndex::bar5;
    std::array<std::uint16_t, 2> command{};
    std::array<std::uint16_t, 2> control{};
    std::array<std::uint16_t, 2> bus_master{};
};

struct ControllerQuirks {
    std::uint16_t vendor = 0;
    std::uint16_t device = 0;
    std::string_view name;

    /// Both channels are always in native mode, whatever the programming interface says.
    bool always_native = false;
    /// In native mode completions arrive on the INTx pin. False: the pin is not wired to the channels.
    bool interrupt_pin = true;
    /// The data register takes 32-bit accesses as two words.
    bool wide_data = false;
    /// The device's transfer mode may be chosen without programming timings in the controller.
    bool free_transfer_mode = false;
    /// Most bytes of a PRD entry; less than 64 KiB where a byte count of 0 is not understood.
    std::uint32_t prd_largest = 0x10000;
    /// Channel N works only while these bits are set.
    std::array<RegisterBits, 2> channel_enabled{};
    /// Bits that keep the controller's INTx down: to be cleared before it is used.
    RegisterBits interrupt_mask{};
    /// After channel N was served, these stay set and hold the INTx up until they are written as one.
    std::array<RegisterBits, 2> interrupt_acknowledge{};
    std::optional<MemoryLayout> memory{};
};

namespace detail {

constexpr RegisterBits config(std::uint16_t offset, std::uint32_t bits, std::uint32_t write_as_zero = 0) {
    return {
        .space = RegisterBits::Space::config, .offset = offset, .bits = bits, .write_as_zero = write_as_zero};
}

// IDETIM, bit 15 of a word at 40h and 42h: the channel's decode is enabled (PIIX4 datasheet 290562, 5.1.8).
inline constexpr std::array piix_channels{config(0x41, 0x80), config(0x43, 0x80)};

}  // namespace detail

inline constexpr std::array known_controllers{
    ControllerQuirks{.vendor = 0x8086,
                     .device = 0x1230,
                     .name = "Intel PIIX IDE",
                     .interrupt_pin = false,
                     .wide_data = true,
                     .channel_enabled = detail::piix_channels},
    ControllerQuirks{.vendor = 0x8086,
                     .device = 0x7010,
                     .name = "Intel PIIX3 IDE",
                     .interrupt_pin = false,
                     .wide_data = true,
                     .channel_enabled = detail::piix_channels},
    ControllerQuirks{.vendor = 0x8086,
                     .device = 0x7111,
                     .name = "Intel PIIX4 IDE",
                     .interrupt_pin = false,
                     .wide_data = true,
                     .channel_enabled = detail::piix_channels},
    // CNTRL (51h) bit 3 enables the second channel. MRDMODE (71h): bits 5:4 block the channels' interrupts,
    // bits 3:2 are their states and are cleared by writing one. The same states appear in CFR (50h) and
    // ARTTIM23 (57h).
    ControllerQuirks{.vendor = 0x1095,
                     .device = 0x0646,
                     .name = "CMD646 IDE",
                     .channel_enabled = {RegisterBits{}, detail::config(0x51, 0x08)},
                     .interrupt_mask = detail::config(0x71, 0x30, 0x0c),
                     .interrupt_acknowledge = {detail::config(0x50, 0x04), detail::config(0x57, 0x10)}},
    ControllerQuirks{
        .vendor = 0x1095, .device = 0x0680, .name = "Silicon Image SiI 680 IDE", .wide_data = true},
    // System Configuration Status (BAR 5, 48h): bits 23:22 block the channels' interrupts. Serial ATA behind
    // the registers of IDE: one device a channel, no cable timings.
    ControllerQuirks{
        .vendor = 0x1095,
        .device = 0x3112,
        .name = "Silicon Image SiI 3112 SATA",
        .always_native = true,
        .wide_data = true,
        .free_transfer_mode = true,
        .interrupt_mask = {.space = RegisterBits::Space::bar5, .offset = 0x48, .bits = 0x00c00000},
        .memory = MemoryLayout{.region = RegionIndex::bar5,
                               .command = {0x80, 0xc0},
                               .control = {0x8a, 0xca},
                               .bus_master = {0x00, 0x08}}},
    // Its interrupts stay on the ISA lines 14 and 15 in native mode too. Enable register 40h: bit 1 the
    // primary channel, bit 0 the secondary.
    ControllerQuirks{.vendor = 0x1106,
                     .device = 0x0571,
                     .name = "VIA 82C586/686 IDE",
                     .interrupt_pin = false,
                     .wide_data = true,
                     .channel_enabled = {detail::config(0x40, 0x02), detail::config(0x40, 0x01)}},
};

/// Any other function of class 01h, subclass 01h.
inline constexpr PciMatch any_controller{
    .class_code = 0x010100, .class_mask = 0xffff00, .name = "PCI IDE controller"};
inline constexpr ControllerQuirks generic{.name = any_controller.name};

/// The controller's entry; the generic one for any other function of class 01h, subclass 01h; nothing for
/// what is no IDE controller.
const ControllerQuirks* find_controller(const PciIdentity& identity) noexcept;

/// What the programming interface (PCI IDE 1.0, 2.2) and the quirks say of one channel (0 or 1).
bool is_native(const ControllerQuirks& quirks, const PciIdentity& identity, unsigned channel) noexcept;
/// Bit 7 of the programming interface: there is a bus master.
bool has_bus_master(const ControllerQuirks& quirks, const PciIdentity& identity) noexcept;

}  // namespace outboard::ide
