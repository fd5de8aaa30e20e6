// The suite of the AHCI driver on the simulated HBA, over vfio-user. SIM_AHCI says in which configuration.
#include "outboard/backend/vfio_user/vfio_user_backend.hpp"
#include "outboard/sim/models/ahci/hba.hpp"

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tests/drivers/ahci/ahci_place.hpp"
#include "tests/sim/simulated_device.hpp"
#include "tests/support/limited_backend.hpp"
#include <fmt/format.h>

namespace outboard {
namespace {

std::string_view chosen() {
    const char* const name = std::getenv("SIM_AHCI");
    return name != nullptr ? name : "";
}

sim::ahci::Options configuration(std::function<void(std::string_view)> report) {
    const std::string_view name = chosen();
    sim::ahci::Options options;
    options.ports.resize(name == "many" ? 32 : 4);
    for (unsigned place = 0; place < 3; ++place) {
        sim::ahci::DiskOptions& port = options.ports[name == "many" ? 15 * place + 1 : place].emplace();
        port.disk.storage = {.size = std::uint64_t{place == 1 ? 200U : 1U} << 30, .write_cache = 16 << 20};
        port.disk.storage.block_size = name == "4096" ? 4096 : 512;
        port.disk.serial = fmt::format("ahci{}", place);
        if (name == "unqueued" || (name == "mixed" && place != 1))
            port.queue_depth = 0;
        if (name == "mixed" && place == 1)
            port.queue_depth = 5;
        if (name == "slow")
            port.disk.latency = std::chrono::microseconds(100 + 150 * place);
    }
    options.slots = name == "one" ? 1 : name == "mixed" ? 7 : 32;
    options.queuing = name != "old";
    options.staggered = name == "old" || name == "slow";
    options.firmware_owned = name == "old" || name == "one";
    options.report = std::move(report);
    return options;
}

class SimulatedAhci final : public test::AhciPlace {
  public:
    std::unique_ptr<Device> open() override {
        if (chosen() != "line")
            return Device::open(simulated().name());
        return std::make_unique<Device>(std::make_unique<test::LimitedBackend>(
            vfio_user::VfioUserBackend::open(simulated().path().string()), InterruptKind::intx));
    }
    DriverOptions options() const override {
        DriverOptions options;
        if (chosen() == "poll")
            options.completion = CompletionMode::poll;
        return options;
    }
    std::string complaints() override { return simulated().complaints(); }
    std::chrono::milliseconds load_time() const override { return std::chrono::milliseconds(200); }
    BlockStatus bad_status() const override { return BlockStatus::media_error; }
    std::string bad_words() const override { return {}; }

  private:
    static test::SimulatedDevice<sim::ahci::Hba>& simulated() {
        static test::SimulatedDevice<sim::ahci::Hba> device(configuration);
        return device;
    }
};

}  // namespace

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return make_ahci_place();
}

std::unique_ptr<test::AhciPlace> test::make_ahci_place() {
    return std::make_unique<SimulatedAhci>();
}

}  // namespace outboard
