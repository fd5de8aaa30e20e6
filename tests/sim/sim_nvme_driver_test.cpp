// The suite of the NVMe driver on the simulated controller, over vfio-user. SIM_NVME says in which
// configuration.
#include "outboard/backend/vfio_user/vfio_user_backend.hpp"
#include "outboard/drivers/nvme/nvme.hpp"
#include "outboard/sim/models/nvme/controller.hpp"

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "tests/sim/simulated_device.hpp"
#include "tests/support/disk_load.hpp"
#include "tests/support/limited_backend.hpp"

namespace outboard {
namespace {

constexpr std::uint64_t mebibyte = 1U << 20;

std::string_view chosen() {
    const char* const name = std::getenv("SIM_NVME");
    return name != nullptr ? name : "";
}

sim::nvme::Options configuration() {
    const sim::StorageOptions small{.size = 256 * mebibyte, .block_size = 512, .write_cache = 16 * mebibyte};
    const sim::StorageOptions large{.size = 256 * mebibyte, .block_size = 4096};
    sim::nvme::Options options{.namespaces = {small, large}, .shadow_doorbells = false};
    const std::string_view name = chosen();
    if (name == "shadow")
        options.shadow_doorbells = true;
    else if (name == "small") {
        options.namespaces = {large};
        options.queue_pairs = 1;
        options.max_transfer = 8192;  // the smallest: MDTS is a power above 0
        options.doorbell_stride = 4;
    } else if (name == "short") {
        options.queue_pairs = 2;
        options.queue_entries = 2;
        options.doorbell_stride = 1;
    } else if (name == "slow") {
        options.ready_time = std::chrono::milliseconds(20);
        options.shutdown_time = std::chrono::milliseconds(20);
        options.latency = std::chrono::microseconds(100);
    }
    return options;
}

class SimulatedNvme final : public test::DiskPlace {
  public:
    const DriverDescription& driver() const override { return nvme::description; }
    std::unique_ptr<Device> open() override {
        if (chosen() != "msi" && chosen() != "line")
            return Device::open(simulated().name());
        const InterruptKind kind = chosen() == "msi" ? InterruptKind::msi : InterruptKind::intx;
        return std::make_unique<Device>(std::make_unique<test::LimitedBackend>(
            vfio_user::VfioUserBackend::open(simulated().path().string()), kind));
    }
    std::string complaints() override { return simulated().complaints(); }
    std::chrono::milliseconds load_time() const override { return std::chrono::milliseconds(200); }

  private:
    static test::SimulatedDevice<sim::nvme::Controller>& simulated() {
        static test::SimulatedDevice<sim::nvme::Controller> device(
            [](const auto&) { return configuration(); });
        return device;
    }
};

}  // namespace

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return std::make_unique<SimulatedNvme>();
}

}  // namespace outboard
