#include "outboard/sim/models/ide_commands.hpp"

#include <algorithm>
#include <array>

namespace outboard::sim {

namespace {

using Action = IdeAction;
using Protocol = IdeProtocol;

constexpr std::array commands{
    IdeCommand{ata::data_set_management, Protocol::dma_out, Action::trim, true},
    IdeCommand{ata::read_sectors, Protocol::pio_in, Action::read},
    IdeCommand{ata::read_sectors_ext, Protocol::pio_in, Action::read, true},
    IdeCommand{ata::read_dma_ext, Protocol::dma_in, Action::read, true},
    IdeCommand{ata::read_multiple_ext, Protocol::pio_in, Action::read, true, true},
    IdeCommand{ata::write_sectors, Protocol::pio_out, Action::write},
    IdeCommand{ata::write_sectors_ext, Protocol::pio_out, Action::write, true},
    IdeCommand{ata::write_dma_ext, Protocol::dma_out, Action::write, true},
    IdeCommand{ata::write_multiple_ext, Protocol::pio_out, Action::write, true, true},
    IdeCommand{ata::write_dma_fua_ext, Protocol::dma_out, Action::write, true, false, true},
    IdeCommand{ata::read_verify, Protocol::non_data, Action::verify},
    IdeCommand{ata::read_verify_ext, Protocol::non_data, Action::verify, true},
    IdeCommand{ata::read_multiple, Protocol::pio_in, Action::read, false, true},
    IdeCommand{ata::write_multiple, Protocol::pio_out, Action::write, false, true},
    IdeCommand{ata::set_multiple_mode, Protocol::non_data, Action::multiple},
    IdeCommand{ata::read_dma, Protocol::dma_in, Action::read},
    IdeCommand{ata::write_dma, Protocol::dma_out, Action::write},
    IdeCommand{ata::flush_cache, Protocol::non_data, Action::flush},
    IdeCommand{ata::flush_cache_ext, Protocol::non_data, Action::flush, true},
    IdeCommand{ata::identify_device, Protocol::pio_in, Action::identify},
    IdeCommand{ata::set_features, Protocol::non_data, Action::feature},
};

}  // namespace

const IdeCommand* find_command(std::uint8_t opcode) noexcept {
    const auto* const found = std::ranges::find(commands, opcode, &IdeCommand::opcode);
    return found == commands.end() ? nullptr : found;
}

}  // namespace outboard::sim
