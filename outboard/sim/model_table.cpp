#include "outboard/sim/model_table.hpp"

#include "outboard/sim/models/ahci/hba.hpp"
#include "outboard/sim/models/edu.hpp"
#include "outboard/sim/models/ide.hpp"
#include "outboard/sim/models/nvme/controller.hpp"
#include "outboard/sim/models/virtio_blk/disk.hpp"

#include <array>

namespace outboard::sim {

std::span<const ModelDescription* const> built_in_models() noexcept {
    static constexpr std::array models{&edu_description, &ide_description, &nvme::description,
                                       &ahci::description, &virtio_blk::description};
    return models;
}

}  // namespace outboard::sim
