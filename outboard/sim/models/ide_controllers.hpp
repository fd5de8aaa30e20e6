// The controllers that the model can be: what each adds to PCI IDE 1.0 and Bus Master IDE 1.0.
#pragma once

#include "outboard/sim/pci_description.hpp"

#include <cstdint>
#include <span>
#include <string_view>

namespace outboard::sim {

/// Where a channel's registers and interrupt are (PCI IDE 1.0, clause 2).
enum class IdeMode {
    native,        ///< at its BARs; both channels share INTx
    compatibility  ///< at 1f0h, 3f6h, 170h and 376h, with the ISA interrupts 14 and 15, which go nowhere here
};

/// Bits of a byte in configuration space that concern one channel.
struct IdeConfigBits {
    std::uint8_t place = 0;
    std::uint8_t bits = 0;
    unsigned channel = 0;
};

/// A register of the controller's own in configuration space: holds what is written to it.
struct IdeConfigRegister {
    std::uint8_t place = 0;
    unsigned width = 1;  ///< 1, 2 or 4 bytes
    std::uint32_t value = 0;
};

struct IdeController {
    std::string_view name;
    std::uint16_t vendor = 0;
    std::uint16_t device = 0;
    std::uint8_t revision = 0;
    IdeMode mode = IdeMode::native;
    bool both_modes = false;
    bool wide_data = false;  ///< the data register takes 32-bit accesses as two words
    std::span<const IdeConfigRegister> registers{};
    /// The channel answers only while all of the bits are set.
    std::span<const IdeConfigBits> enables{};
    /// Set by the channel's rising interrupt, all of a channel's alike; writing one clears them. Where there
    /// are any they drive INTx, not the interrupts themselves.
    std::span<const IdeConfigBits> latches{};
    /// The channel's interrupt does not reach INTx while the bits are set.
    std::span<const IdeConfigBits> blocks{};
    /// The bus master's bytes 1 and 3 of both channels are those of configuration space from here on; 0: they
    /// are nothing.
    std::uint8_t mirror = 0;
};

/// Throws Error (kind usage), which lists them, when there is none of that name.
const IdeController& find_ide_controller(std::string_view name);

/// Its header and BARs. Throws Error (kind usage) when it does not have that mode.
PciDescription describe(const IdeController& controller, IdeMode mode);

}  // namespace outboard::sim
