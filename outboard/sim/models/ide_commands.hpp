// The commands that the simulated ATA disk knows (ATA/ATAPI-6, clause 8; protocols: clause 9). Pure.
#pragma once

#include "outboard/sim/models/ide_registers.hpp"

#include <cstdint>

namespace outboard::sim {

/// How a command moves data (clause 9.3 on).
enum class IdeProtocol : std::uint8_t { non_data, pio_in, pio_out, dma_in, dma_out };

/// What it does.
enum class IdeAction : std::uint8_t {
    read,
    write,
    verify,
    flush,
    identify,
    feature,
    multiple,
    trim,
};

struct IdeCommand {
    std::uint8_t opcode = 0;
    IdeProtocol protocol = IdeProtocol::non_data;
    IdeAction action = IdeAction::flush;
    bool extended = false;  ///< 48-bit
    bool multiple = false;  ///< interrupts for as many sectors as SET MULTIPLE MODE says
    bool stable = false;    ///< FUA
};

/// Null for a command that there is not.
const IdeCommand* find_command(std::uint8_t opcode) noexcept;

}  // namespace outboard::sim
