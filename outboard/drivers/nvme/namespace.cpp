#include "outboard/drivers/nvme/namespace.hpp"

#include "outboard/drivers/nvme/controller.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include <fmt/format.h>

namespace outboard::nvme {

namespace {

/// Blocks that the 16-bit count of a command can say.
constexpr std::uint64_t most_blocks = 0x10000;

BlockInfo make_info(const ControllerIdentity& controller, const NamespaceIdentity& name_space,
                    const ControllerLimits& limits) {
    const std::uint64_t block = name_space.block_size;
    constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
    BlockInfo info;
    info.model = controller.model;
    info.serial = controller.serial;
    info.firmware = controller.firmware;
    info.capacity = name_space.blocks * block;
    info.block_size = name_space.block_size;
    info.physical_block_size = name_space.physical_block_size;
    info.max_transfer =
        static_cast<std::uint32_t>(std::min({std::uint64_t{max_command_bytes}, most_blocks * block,
                                             controller.max_transfer != 0 ? controller.max_transfer : most}));
    info.segment_alignment = 4;
    info.segment_boundary = page_bytes;
    info.max_segments = static_cast<std::uint32_t>(prp_list_entries(info.max_transfer)) + 1;
    info.read_only = name_space.read_only;
    if (controller.dataset_management && !info.read_only)
        info.max_discard = static_cast<std::uint32_t>(most - most % block);
    if (controller.write_zeroes && !info.read_only)
        info.max_write_zeroes =
            static_cast<std::uint32_t>(std::min(most_blocks * block, most - most % block));
    info.queue_depth = limits.queue_depth;
    info.max_queues = limits.max_queues;
    info.volatile_write_cache = limits.write_cache;
    info.force_unit_access = true;
    info.rotational = false;
    return info;
}

}  // namespace

Namespace::Namespace(Controller& controller, DmaArena& arena, const ControllerIdentity& identity,
                     const NamespaceIdentity& name_space, const ControllerLimits& limits,
                     const std::string& device)
    : controller_(controller),
      arena_(arena),
      identity_(name_space),
      info_(make_info(identity, name_space, limits)),
      target_({.namespace_id = name_space.id,
               .block_shift = static_cast<unsigned>(std::countr_zero(name_space.block_size)),
               .block_mask = name_space.block_size - 1,
               .capacity = info_.capacity,
               .max_short_transfer = std::min<std::uint64_t>(info_.max_transfer, max_short_bytes),
               .max_transfer = info_.max_transfer,
               .max_discard = info_.max_discard,
               .max_write_zeroes = info_.max_write_zeroes,
               .name = fmt::format("namespace {} of {}", name_space.id, device)}) {}

std::unique_ptr<BlockQueue> Namespace::open_queue(RunLoop& loop) {
    IoQueue& queue = controller_.lend_queue(loop, target_);
    return std::make_unique<NamespaceQueue>(controller_, queue);
}

NamespaceQueue::~NamespaceQueue() {
    controller_.take_queue_back(queue_);
}

}  // namespace outboard::nvme
