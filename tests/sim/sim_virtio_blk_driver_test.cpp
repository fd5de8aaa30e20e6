// The suite of the virtio-blk driver on the simulated disk, over vfio-user. SIM_VIRTIO_BLK says in which
// configuration.
#include "outboard/drivers/virtio_blk/virtio_blk.hpp"
#include "outboard/sim/models/virtio_blk/disk.hpp"

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "tests/sim/simulated_device.hpp"
#include "tests/support/disk_load.hpp"

namespace outboard {
namespace {

constexpr std::uint64_t mebibyte = 1U << 20;

std::string_view chosen() {
    const char* const name = std::getenv("SIM_VIRTIO_BLK");
    return name != nullptr ? name : "";
}

sim::virtio_blk::Options configuration() {
    sim::virtio_blk::Options options{
        .storage = {.size = 256 * mebibyte, .block_size = 512, .write_cache = 16 * mebibyte}};
    const std::string_view name = chosen();
    options.packed = name.starts_with("packed");
    if (name.ends_with("direct"))
        options.indirect = false;
    if (name.ends_with("flags"))
        options.event_index = false;
    if (name == "line") {
        options.msix = false;
    } else if (name == "eight" || name == "packed-eight-direct") {
        options.queues = 1;
        options.queue_size = 8;
    } else if (name == "four") {
        options.queues = 1;
        options.queue_size = 4;
    } else if (name == "4096") {
        options.storage.block_size = 4096;
        options.size_max = 65536;
    } else if (name == "slow") {
        options.latency = std::chrono::microseconds(100);
    }
    return options;
}

class SimulatedVirtioBlk final : public test::DiskPlace {
  public:
    const DriverDescription& driver() const override { return virtio_blk::description; }
    std::unique_ptr<Device> open() override { return Device::open(simulated().name()); }
    DriverOptions options() const override {
        DriverOptions options;
        if (chosen() == "poll")
            options.completion = CompletionMode::poll;
        return options;
    }
    std::string complaints() override { return simulated().complaints(); }
    std::chrono::milliseconds load_time() const override { return std::chrono::milliseconds(200); }

  private:
    static test::SimulatedDevice<sim::virtio_blk::Disk>& simulated() {
        static test::SimulatedDevice<sim::virtio_blk::Disk> device(
            [](const auto&) { return configuration(); });
        return device;
    }
};

}  // namespace

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return std::make_unique<SimulatedVirtioBlk>();
}

}  // namespace outboard
