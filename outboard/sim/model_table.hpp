// The models that are built in.
#pragma once

#include "outboard/sim/model_options.hpp"

#include <span>

namespace outboard::sim {

/// All of them, by name.
std::span<const ModelDescription* const> built_in_models() noexcept;

}  // namespace outboard::sim
