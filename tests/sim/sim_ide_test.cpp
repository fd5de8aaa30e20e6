// The suite of the IDE driver on the simulated controllers, over vfio-user. SIM_IDE says which: a
// controller's name, and after a colon its mode.
#include "outboard/sim/models/ide.hpp"

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tests/drivers/ide/ide_place.hpp"
#include "tests/sim/simulated_device.hpp"
#include <fmt/format.h>

namespace outboard {
namespace {

sim::IdeOptions four_disks(std::function<void(std::string_view)> report) {
    const char* const chosen = std::getenv("SIM_IDE");
    const std::string_view name = chosen != nullptr ? chosen : "cmd646";
    sim::IdeOptions options{.controller = std::string(name.substr(0, name.find(':')))};
    if (name.ends_with(":compatibility"))
        options.mode = sim::IdeMode::compatibility;
    for (unsigned place = 0; place < sim::ide_places; ++place)
        options.disks[place] =
            sim::IdeDiskOptions{.storage = {.size = std::uint64_t{place == 1 ? 200U : 1U} << 30},
                                .serial = fmt::format("ide{}", place)};
    options.report = std::move(report);
    return options;
}

class SimulatedIde final : public test::IdePlace {
  public:
    std::unique_ptr<Device> open() override { return Device::open(simulated().name()); }
    std::string complaints() override { return simulated().complaints(); }
    std::chrono::milliseconds load_time() const override { return std::chrono::milliseconds(400); }
    std::size_t largest_pio() const override { return 4096; }
    BlockStatus bad_status() const override { return BlockStatus::media_error; }
    std::string bad_words() const override { return {}; }

  private:
    static test::SimulatedDevice<sim::IdeModel>& simulated() {
        static test::SimulatedDevice<sim::IdeModel> device(four_disks);
        return device;
    }
};

}  // namespace

std::unique_ptr<test::IdePlace> test::make_ide_place() {
    return std::make_unique<SimulatedIde>();
}

}  // namespace outboard
