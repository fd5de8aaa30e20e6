// Faults that the library itself brings about, seen by a driver: a device whose interrupt, data, registers or
// reset go wrong.
#include "outboard/base/error.hpp"
#include "outboard/drivers/edu/edu.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/sim/models/edu.hpp"
#include "outboard/sim/server.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/sim/socket_directory.hpp"
#include "tests/support/expect_error.hpp"
#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using sim::FaultKind;

constexpr std::size_t length = 2048;  // fits the device's buffer

class FaultyEdu : public testing::Test {
  protected:
    FaultyEdu() { connect(); }
    ~FaultyEdu() override { disconnect(); }
    FaultyEdu(const FaultyEdu&) = delete;
    FaultyEdu& operator=(const FaultyEdu&) = delete;
    FaultyEdu(FaultyEdu&&) = delete;
    FaultyEdu& operator=(FaultyEdu&&) = delete;

    void connect() {
        device = Device::open("vfio-user:" + server.server().path().string());
        DmaArena& arena = device->create_arena(
            {.size = std::size_t{512} << 10, .address_bits = edu::address_bits, .huge_pages = false});
        out = arena.allocate(length, 4096);
        in = arena.allocate(length, 4096);
        std::memset(out.address(), 0x5a, length);
        driver = loop.run(edu::Edu::start(*device, loop, InterruptKind::msi));
    }
    void disconnect() {
        driver.reset();
        out = {};
        in = {};
        device.reset();
    }
    void order(FaultKind kind) { model.faults().order(kind); }
    std::uint32_t factorial() { return loop.run(driver->factorial(5)); }
    /// To the device and back; how many bytes came back.
    std::ptrdiff_t round_trip() {
        std::memset(in.address(), 0, length);
        loop.run(driver->copy_to_device(out.span(), 0));
        order(next);
        loop.run(driver->copy_from_device(0, in.span()));
        return std::count(in.as<unsigned char>(), in.as<unsigned char>() + length, 0x5a);
    }

    sim::EduModel model{{.dma_time = 1ms, .factorial_time = 10us, .dma_mask = 0xfffffff}};
    test::SocketDirectory directory;
    sim::ServerThread server{model, {.socket = directory.path("edu"), .log = {}}};
    RunLoop loop;
    std::unique_ptr<Device> device;
    DmaBuffer out;
    DmaBuffer in;
    std::unique_ptr<edu::Edu> driver;
    FaultKind next{};
};

TEST_F(FaultyEdu, AnInterruptThatIsDroppedIsMissed) {
    order(FaultKind::interrupt_drop);
    EXPECT_EQ(test::error_of([this] { factorial(); }).kind(), ErrorKind::timed_out);
    EXPECT_EQ(model.faults().struck(FaultKind::interrupt_drop), 1U);
    EXPECT_EQ(factorial(), 120U);
}

TEST_F(FaultyEdu, AnInterruptThatComesTwiceOrLateDoesNoHarm) {
    for (const FaultKind kind : {FaultKind::interrupt_duplicate, FaultKind::interrupt_delay}) {
        order(kind);
        EXPECT_EQ(factorial(), 120U);
        EXPECT_EQ(factorial(), 120U);
        EXPECT_EQ(model.faults().struck(kind), 1U);
    }
}

TEST_F(FaultyEdu, DataGoWrongWithGoodStatus) {
    for (const FaultKind kind :
         {FaultKind::dma_short, FaultKind::dma_misplaced, FaultKind::data_stale, FaultKind::data_torn}) {
        next = kind;
        EXPECT_LT(round_trip(), static_cast<std::ptrdiff_t>(length)) << sim::name_of(kind);
        EXPECT_EQ(model.faults().struck(kind), 1U);
    }
}

TEST_F(FaultyEdu, ADeviceThatWasPulledOutReadsAsAllOnesUntilTheNextClient) {
    order(FaultKind::all_ones);
    const Region region = device->region(RegionIndex::bar0);
    EXPECT_EQ(region.load<std::uint32_t>(0), 0xffffffffU);
    EXPECT_EQ(device->config().read32(0), 0xffffffffU);
    EXPECT_THROW(device->reset(), Error);
    disconnect();
    connect();
    EXPECT_EQ(factorial(), 120U);
}

TEST_F(FaultyEdu, AResetCanFail) {
    order(FaultKind::reset_failure);
    EXPECT_THROW(device->reset(), Error);
    device->reset();
}

}  // namespace
}  // namespace outboard
