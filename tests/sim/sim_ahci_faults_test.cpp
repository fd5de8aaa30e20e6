// The suite of the AHCI driver on disks that fail, on the simulated HBA.
#include "outboard/sim/models/ahci/hba.hpp"
#include "outboard/sim/server.hpp"

#include <chrono>
#include <memory>
#include <string>

#include "tests/drivers/ahci/ahci_place.hpp"
#include "tests/sim/socket_directory.hpp"

namespace outboard {
namespace {

sim::ahci::Options bad_and_slow() {
    sim::ahci::Options options;
    options.ports.resize(3);
    options.ports[0] = {
        .disk = {.storage = {.size = 1 << 30}, .serial = "bad", .bad = {{.first = 2048, .count = 8}}}};
    options.ports[2] = {
        .disk = {.storage = {.size = 1 << 30}, .serial = "slow", .latency = std::chrono::seconds(3)}};
    return options;
}

class SimulatedAhci final : public test::AhciPlace {
  public:
    std::unique_ptr<Device> open() override {
        return Device::open("vfio-user:" + server_.server().path().string());
    }
    std::string complaints() override {
        return model_.breaches() == 0 && model_.dma().counts().read_faults == 0 &&
                       model_.dma().counts().write_faults == 0
                   ? ""
                   : "the HBA was used in a way that is not defined";
    }
    std::chrono::milliseconds load_time() const override { return std::chrono::milliseconds(400); }
    BlockStatus bad_status() const override { return BlockStatus::media_error; }
    std::string bad_words() const override { return "the medium's data could not be corrected (UNC)"; }

  private:
    sim::ahci::Hba model_{bad_and_slow()};
    test::SocketDirectory directory_;
    sim::ServerThread server_{model_, {.socket = directory_.path("ahci"), .log = {}}};
};

}  // namespace

std::unique_ptr<test::AhciPlace> test::make_ahci_place() {
    return std::make_unique<SimulatedAhci>();
}

}  // namespace outboard
