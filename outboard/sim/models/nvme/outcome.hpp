// What became of a command.
#pragma once

#include "outboard/sim/models/nvme/commands.hpp"

#include <cstdint>

namespace outboard::sim::nvme {

struct Outcome {
    StatusCode status = StatusCode::success;
    std::uint32_t dword0 = 0;
    bool answered = true;  ///< false: the completion comes later
};

}  // namespace outboard::sim::nvme
