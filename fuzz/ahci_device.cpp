// The AHCI driver on an HBA and disks that lie.
#include "outboard/drivers/ahci/ahci.hpp"
#include "outboard/sim/models/ahci/hba.hpp"

#include <chrono>
#include <memory>

#include "fuzz/disk_user.hpp"
#include "fuzz/target.hpp"
#include "fuzz/virtual_time.hpp"

namespace outboard::fuzz {
namespace {

using namespace std::chrono_literals;

/// Eight tries for each of the requests of a batch, each with a reset of the disk, of the HBA and of the
/// device, and three ports to bring up twice.
constexpr DriveLimits limits{.batch = batch_requests * 8 * 8s, .bring_up = 20s};

sim::ahci::Options choose_hba(Input& input) {
    sim::ahci::Options options;
    options.ports.resize(3);
    const auto choice = input.take<std::uint8_t>();
    options.queuing = (choice & 1) == 0;
    options.staggered = (choice & 2) != 0;
    options.firmware_owned = (choice & 4) != 0;
    options.messages = (choice & 8) == 0;
    options.slots = (choice & 16) == 0 ? 32 : 1 + input.below(32);
    for (unsigned port = 0; port < options.ports.size(); ++port) {
        const auto features = input.take<std::uint8_t>();
        if (port == 2 && (features & 1) != 0)
            continue;
        sim::ahci::DiskOptions& disk = options.ports[port].emplace();
        disk.disk.storage = {.size = 1 << 20, .block_size = (features & 2) == 0 ? 512U : 4096U};
        disk.disk.serial = port == 0 ? "first" : "second";
        disk.disk.write_cache = (features & 4) == 0;
        disk.disk.extended = (features & 8) == 0;
        disk.queue_depth = (features & 16) == 0 ? 32 : features >> 5;
        if ((features & 32) != 0)
            disk.disk.bad = {{.first = 3, .count = 4}};
    }
    return options;
}

}  // namespace

void run(Input input) {
    reset_time();
    drive(input, std::make_unique<sim::ahci::Hba>(choose_hba(input)), ahci::description, limits);
}

}  // namespace outboard::fuzz
