// The suite of the virtio-blk driver on the simulated disk, over vfio-user. SIM_VIRTIO_BLK says in which
// configuration.
#include "outboard/drivers/virtio_blk/virtio_blk.hpp"
#include "outboard/sim/models/virtio_blk/disk.hpp"
#include "outboard/sim/server.hpp"

#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "tests/sim/socket_directory.hpp"
#include "tests/support/disk_load.hpp"
#include <fmt/format.h>

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

/// One device for all tests of the process: its clients come and go, its disk stays.
class SimulatedDevice {
  public:
    std::string name() const { return "vfio-user:" + server_.server().path().string(); }
    void note(std::string_view line) {
        const std::scoped_lock lock(mutex_);
        complaints_ += fmt::format("{}\n", line);
    }
    std::string complaints() {
        const std::scoped_lock lock(mutex_);
        return std::exchange(complaints_, {});
    }

  private:
    std::mutex mutex_;
    std::string complaints_;
    sim::virtio_blk::Disk model_{configuration()};
    test::SocketDirectory directory_;
    sim::ServerThread server_{model_,
                              {.socket = directory_.path("virtio"), .log = [this](std::string_view line) {
                                   if (line.find("DMA fault") != std::string_view::npos)
                                       note(line);
                               }}};
};

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
    static SimulatedDevice& simulated() {
        static SimulatedDevice device;
        return device;
    }
};

}  // namespace

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return std::make_unique<SimulatedVirtioBlk>();
}

}  // namespace outboard
