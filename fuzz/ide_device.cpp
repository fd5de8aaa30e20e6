// The IDE driver on a controller and disks that lie.
#include "outboard/drivers/ide/ide.hpp"

#include <array>
#include <chrono>
#include <memory>

#include "fuzz/disk_user.hpp"
#include "fuzz/target.hpp"
#include "fuzz/virtual_time.hpp"
#include "tests/drivers/ide/fake_ide.hpp"

namespace outboard::fuzz {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<outboard::testing::FakeIde> make_honest(Input& input) {
    struct Model {
        std::uint16_t vendor;
        std::uint16_t device;
        std::uint8_t programming_interface;
        bool interrupt_pin;
    };
    // PIIX3; CMD646 and a controller that nobody knows, in native mode; that one without a bus master.
    static constexpr std::array models{Model{0x8086, 0x7010, 0x80, false}, Model{0x1095, 0x0646, 0x8f, true},
                                       Model{0x1234, 0x0001, 0x8f, true}, Model{0x1234, 0x0001, 0x05, true}};
    const Model& model = models[input.below(models.size())];
    auto ide = std::make_unique<outboard::testing::FakeIde>(
        outboard::testing::FakeIde::Options{.vendor = model.vendor,
                                            .device = model.device,
                                            .programming_interface = model.programming_interface,
                                            .interrupt_pin = model.interrupt_pin,
                                            .bus_master = (model.programming_interface & 0x80) != 0,
                                            .latency = 1 + input.below(4)});
    const unsigned disks = input.below(8);
    for (unsigned place = 0; place < 3; ++place) {
        if ((disks >> place & 1) == 0)
            continue;
        auto& disk = ide->add_disk(place == 1 ? 1 : 0, place == 2 ? 1 : 0);
        const auto features = input.take<std::uint8_t>();
        disk.lba48 = (features & 1) == 0;
        disk.dma = (features & 2) == 0;
        disk.fua = (features & 4) != 0;
        disk.write_cache = (features & 8) == 0;
        disk.packet = (features & 0xf0) == 0xf0;
    }
    return ide;
}

/// Three attempts, each with a command that times out and a recovery of both disks of up to six commands, for
/// each of the requests of a batch, which never go together.
constexpr DriveLimits limits{.batch = batch_requests * 3 * 8 * 200ms, .bring_up = 20s};

}  // namespace

void run(Input input) {
    reset_time();
    drive(input, make_honest(input), [] { return false; }, ide::description, limits);
}

}  // namespace outboard::fuzz
