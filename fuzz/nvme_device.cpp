// The NVMe driver on a controller that lies: its registers, its queues, and what it tells of itself.
#include "outboard/drivers/nvme/nvme.hpp"
#include "outboard/sim/models/nvme/controller.hpp"

#include <chrono>
#include <cstdint>
#include <memory>

#include "fuzz/disk_user.hpp"
#include "fuzz/target.hpp"
#include "fuzz/virtual_time.hpp"

namespace outboard::fuzz {
namespace {

using namespace std::chrono_literals;

/// Eight tries of the requests of a batch, each with a time-out, an abort that times out, and three attempts
/// to put the controller right, which disables it for as long as it states and sets up all queues by commands
/// that time out.
constexpr DriveLimits limits{.batch = 240s, .bring_up = 60s};

sim::nvme::Options choose_controller(Input& input) {
    const auto choice = input.take<std::uint8_t>();
    const auto more = input.take<std::uint8_t>();
    sim::nvme::Options options;
    options.namespaces.resize(1 + (choice & 1));
    for (sim::StorageOptions& storage : options.namespaces)
        storage = {.size = 1 << 20,
                   .block_size = (choice & 2) == 0 ? 512U : 4096U,
                   .write_cache = (choice & 4) == 0 ? 0U : 65536U};
    options.shadow_doorbells = (choice & 8) == 0;
    options.doorbell_stride = (choice & 16) == 0 ? 0 : 1 + (more & 3);
    options.max_transfer = std::uint64_t{8192} << (more >> 2 & 3);
    options.queue_pairs = 1 + (more >> 4 & 3);
    options.queue_entries = (choice & 32) == 0 ? 64 : 2 + (more >> 6);
    options.ready_time = (choice & 64) == 0 ? 0ms : 1ms;
    options.latency = (choice & 128) == 0 ? 0us : 50us;
    return options;
}

}  // namespace

void run(Input input) {
    reset_time();
    drive(input, std::make_unique<sim::nvme::Controller>(choose_controller(input)), nvme::description,
          limits);
}

}  // namespace outboard::fuzz
