// The PCI IDE controllers this driver knows, and where each departs from "PCI IDE Controller
// Specification" 1.0 and "Bus Master IDE" 1.0. What is special about a controller stands here and nowhere
// else in the driver.
#pragma once

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

/// The controller's entry; the generic one for any other function of class 01h, subclass 01h; nothing for
/// what is no IDE controller.
const ControllerQuirks* find_controller(const PciIdentity& identity) noexcept;

/// What the programming interface (PCI IDE 1.0, 2.2) and the quirks say of one channel (0 or 1).
bool is_native(const ControllerQuirks& quirks, const PciIdentity& identity, unsigned channel) noexcept;
/// Bit 7 of the programming interface: there is a bus master.
bool has_bus_master(const ControllerQuirks& quirks, const PciIdentity& identity) noexcept;

}  // namespace outboard::ide
