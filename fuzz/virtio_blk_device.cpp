// The virtio-blk driver on a device that lies: its registers, its capabilities and its rings.
#include "outboard/drivers/virtio_blk/virtio_blk.hpp"
#include "outboard/sim/models/virtio_blk/disk.hpp"

#include <chrono>
#include <cstdint>
#include <memory>

#include "fuzz/disk_user.hpp"
#include "fuzz/target.hpp"
#include "fuzz/virtual_time.hpp"

namespace outboard::fuzz {
namespace {

using namespace std::chrono_literals;

/// Twice as many attempts as resets may interrupt, each with a time-out and a reset of all sorts.
constexpr DriveLimits limits{.batch = 60s, .bring_up = 20s};

sim::virtio_blk::Options choose_disk(Input& input) {
    const auto choice = input.take<std::uint8_t>();
    const auto more = input.take<std::uint8_t>();
    sim::virtio_blk::Options options{
        .storage = {.size = 1 << 20, .write_cache = (more & 8) != 0 ? 65536U : 0U}, .queues = 2};
    options.queue_size = static_cast<std::uint16_t>(2U << (choice & 7));
    options.packed = (choice & 8) != 0;
    options.indirect = (choice & 16) == 0;
    options.event_index = (choice & 32) == 0;
    options.msix = (choice & 64) == 0;
    options.storage.block_size = (choice & 128) != 0 ? 4096 : 512;
    options.read_only = (more & 1) != 0;
    options.size_max = (more & 2) != 0 ? 4096 : 0;
    options.cache_switch = (more & 4) == 0;
    return options;
}

}  // namespace

void run(Input input) {
    reset_time();
    drive(input, std::make_unique<sim::virtio_blk::Disk>(choose_disk(input)), virtio_blk::description,
          limits);
}

}  // namespace outboard::fuzz
