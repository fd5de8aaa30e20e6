// The suite of the edu driver on the simulated device, over vfio-user.
#include "outboard/sim/models/edu.hpp"
#include "outboard/sim/server.hpp"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tests/drivers/edu/edu_suite.hpp"
#include "tests/sim/socket_directory.hpp"

namespace outboard {
namespace {

class SimulatedEdu final : public test::EduPlace {
  public:
    std::unique_ptr<Device> open() override {
        return Device::open("vfio-user:" + server_.server().path().string());
    }
    std::uint32_t interrupts() const override { return SIM_EDU_INTERRUPTS; }
    std::uint64_t times_fired() override { return model_.interrupts().counts().delivered; }
    std::vector<test::DmaFault> faults_soon() override {
        const std::scoped_lock lock(mutex_);
        return std::exchange(faults_, {});
    }

  private:
    /// The line of a fault comes before the interrupt that ends the transfer.
    void note(std::string_view line) {
        char access[8] = "";
        unsigned long number = 0;
        unsigned long iova = 0;
        if (std::sscanf(std::string(line).c_str(), "DMA fault %lu: %7s of %*u bytes at %lx", &number, access,
                        &iova) != 3)
            return;
        const std::scoped_lock lock(mutex_);
        faults_.push_back({.write = std::string_view(access) == "write", .iova = iova});
    }

    std::mutex mutex_;
    std::vector<test::DmaFault> faults_;
    sim::EduModel model_;
    test::SocketDirectory directory_;
    sim::ServerThread server_{
        model_, {.socket = directory_.path("edu"), .log = [this](std::string_view line) { note(line); }}};
};

}  // namespace

std::unique_ptr<test::EduPlace> test::make_edu_place() {
    return std::make_unique<SimulatedEdu>();
}

}  // namespace outboard
