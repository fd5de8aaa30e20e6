#include "outboard/drivers/ide/controller_table.hpp"

#include <algorithm>

namespace outboard::ide {

namespace {

constexpr RegisterBits config(std::uint16_t offset, std::uint32_t bits, std::uint32_t write_as_zero = 0) {
    return {
        .space = RegisterBits::Space::config, .offset = offset, .bits = bits, .write_as_zero = write_as_zero};
}

// IDETIM, bit 15 of a word at 40h and 42h: the channel's decode is enabled (PIIX4 datasheet 290562, 5.1.8).
constexpr std::array piix_channels{config(0x41, 0x80), config(0x43, 0x80)};

constexpr std::array known_controllers{
    ControllerQuirks{.vendor = 0x8086,
                     .device = 0x1230,
                     .name = "Intel PIIX IDE",
                     .interrupt_pin = false,
                     .wide_data = true,
                     .channel_enabled = piix_channels},
    ControllerQuirks{.vendor = 0x8086,
                     .device = 0x7010,
                     .name = "Intel PIIX3 IDE",
                     .interrupt_pin = false,
                     .wide_data = true,
                     .channel_enabled = piix_channels},
    ControllerQuirks{.vendor = 0x8086,
                     .device = 0x7111,
                     .name = "Intel PIIX4 IDE",
                     .interrupt_pin = false,
                     .wide_data = true,
                     .channel_enabled = piix_channels},
    // CNTRL (51h) bit 3 enables the second channel. MRDMODE (71h): bits 5:4 block the channels' interrupts,
    // bits 3:2 are their states and are cleared by writing one. The same states appear in CFR (50h) and
    // ARTTIM23 (57h).
    ControllerQuirks{.vendor = 0x1095,
                     .device = 0x0646,
                     .name = "CMD646 IDE",
                     .channel_enabled = {RegisterBits{}, config(0x51, 0x08)},
                     .interrupt_mask = config(0x71, 0x30, 0x0c),
                     .interrupt_acknowledge = {config(0x50, 0x04), config(0x57, 0x10)}},
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
                     .channel_enabled = {config(0x40, 0x02), config(0x40, 0x01)}},
};

constexpr ControllerQuirks generic{.name = "PCI IDE controller"};

constexpr std::uint8_t mass_storage_class = 0x01;
constexpr std::uint8_t ide_subclass = 0x01;

}  // namespace

const ControllerQuirks* find_controller(const PciIdentity& identity) noexcept {
    const auto* const known = std::ranges::find_if(known_controllers, [&](const ControllerQuirks& quirks) {
        return quirks.vendor == identity.vendor && quirks.device == identity.device;
    });
    if (known != known_controllers.end())
        return known;
    if (identity.base_class == mass_storage_class && identity.sub_class == ide_subclass)
        return &generic;
    return nullptr;
}

bool is_native(const ControllerQuirks& quirks, const PciIdentity& identity, unsigned channel) noexcept {
    return quirks.always_native || (identity.programming_interface >> (2 * channel) & 1) != 0;
}

bool has_bus_master(const ControllerQuirks& quirks, const PciIdentity& identity) noexcept {
    return quirks.memory.has_value() || (identity.programming_interface & 0x80) != 0;
}

}  // namespace outboard::ide
