// The suite of the IDE driver on disks that fail, on the simulated controller.
#include "outboard/sim/models/ide.hpp"
#include "outboard/sim/server.hpp"

#include <chrono>
#include <memory>
#include <string>

#include "tests/drivers/ide/ide_place.hpp"
#include "tests/sim/socket_directory.hpp"

namespace outboard {
namespace {

sim::IdeOptions bad_and_slow() {
    sim::IdeOptions options{.controller = "plain"};
    options.disks[0] = sim::IdeDiskOptions{
        .storage = {.size = 1 << 30}, .serial = "bad", .bad = {{.first = 2048, .count = 8}}};
    options.disks[2] = sim::IdeDiskOptions{
        .storage = {.size = 1 << 30}, .serial = "slow", .latency = std::chrono::seconds(3)};
    return options;
}

class SimulatedIde final : public test::IdePlace {
  public:
    std::unique_ptr<Device> open() override {
        return Device::open("vfio-user:" + server_.server().path().string());
    }
    std::string complaints() override {
        return model_.breaches() == 0 && model_.dma().counts().read_faults == 0 &&
                       model_.dma().counts().write_faults == 0
                   ? ""
                   : "the controller was used in a way that is not defined";
    }
    std::chrono::milliseconds load_time() const override { return std::chrono::milliseconds(400); }
    std::size_t largest_pio() const override { return 4096; }
    BlockStatus bad_status() const override { return BlockStatus::media_error; }
    std::string bad_words() const override {
        return "the medium's data could not be corrected (UNC) at LBA 2048";
    }

  private:
    sim::IdeModel model_{bad_and_slow()};
    test::SocketDirectory directory_;
    sim::ServerThread server_{model_, {.socket = directory_.path("ide"), .log = {}}};
};

}  // namespace

std::unique_ptr<test::IdePlace> test::make_ide_place() {
    return std::make_unique<SimulatedIde>();
}

}  // namespace outboard
