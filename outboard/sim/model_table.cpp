#include "outboard/sim/model_table.hpp"

#include "outboard/sim/models/edu.hpp"

#include <array>

namespace outboard::sim {

std::span<const ModelDescription* const> built_in_models() noexcept {
    static constexpr std::array models{&edu_description};
    return models;
}

}  // namespace outboard::sim
