// The edu driver against an edu device written from QEMU's docs/specs/edu a second time: registers, interrupt
// line and DMA, as seen from the bus. It notes every access that the specification does not allow.
#include "outboard/drivers/edu/edu.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/expect_error.hpp"
#include <gtest/gtest.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

class FakeEdu final : public Backend {
  public:
    // ---- what it does wrong ----
    std::uint32_t identification = 0x010000ed;
    bool inverts = true;
    bool loses_interrupts = false;
    bool never_ends_dma = false;

    // ---- what the test sees ----
    std::vector<std::string> violations;
    std::uint32_t status = 0;
    bool bus_master = false;
    std::map<InterruptKind, int> enabled;
    int fired_for_nothing = 0;  ///< INTx fired although the driver had served it
    int fires = 0;
    bool dma_running = false;
    std::vector<std::byte> buffer = std::vector<std::byte>(4096);

    void raise(std::uint32_t causes) {
        status |= causes;
        if (enabled.contains(InterruptKind::msi))
            fire(InterruptKind::msi);
        else
            line_changed();
    }

    // ---- Backend ----
    const std::string& name() const noexcept override { return name_; }
    RegionInfo region_info(RegionIndex index) const override {
        if (index == RegionIndex::bar0)
            return {.size = 1 << 20, .readable = true, .writable = true, .mappable = {}};
        if (index == RegionIndex::config)
            return {.size = 256, .readable = true, .writable = true, .mappable = {}};
        return {};
    }
    int read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept override {
        std::uint64_t value = 0;
        if (region == RegionIndex::config)
            value = offset == 4 && bus_master ? 4 : 0;
        else if (width_allowed(offset, data.size()))
            value = load(offset);
        std::memcpy(data.data(), &value, data.size());
        return 0;
    }
    int write_region(RegionIndex region, std::uint64_t offset,
                     std::span<const std::byte> data) noexcept override {
        std::uint64_t value = 0;
        std::memcpy(&value, data.data(), data.size());
        if (region == RegionIndex::config)
            bus_master = offset == 4 ? (value & 4) != 0 : bus_master;
        else if (width_allowed(offset, data.size()))
            store(offset, value);
        return 0;
    }
    std::span<std::byte> map_region(RegionIndex, const MappableArea&) override { return {}; }
    InterruptInfo interrupt_info(InterruptKind kind) const override {
        return {.count = kind == InterruptKind::msix ? 0U : 1U, .maskable = kind == InterruptKind::intx};
    }
    void set_interrupts(InterruptKind kind, std::span<const int> eventfds) override {
        enabled.erase(kind);
        masked_ = false;
        if (!eventfds.empty())
            enabled[kind] = eventfds[0];
    }
    int mask_intx() noexcept override {
        masked_ = true;
        return 0;
    }
    int unmask_intx() noexcept override {
        masked_ = false;
        fired_for_nothing += (status & served_) != 0 ? 1 : 0;
        line_changed();
        return 0;
    }
    bool resettable() const noexcept override { return false; }
    void reset() override {}
    std::vector<IovaRange> iova_ranges() const override { return {{.first = 0x10000, .last = 0xffffffffff}}; }
    std::uint64_t dma_page_size() const noexcept override { return 4096; }
    void map_dma(const DmaMapping& mapping) override { mapping_ = mapping; }
    void unmap_dma(std::uint64_t, std::uint64_t) override { mapping_ = {}; }

  private:
    bool width_allowed(std::uint64_t offset, std::size_t width) {
        if (width == 4 || (width == 8 && offset >= 0x80))
            return true;
        violations.push_back("access of " + std::to_string(width) + " bytes at " + std::to_string(offset));
        return false;
    }
    std::uint64_t load(std::uint64_t offset) {
        switch (offset) {
            case 0x00:
                return identification;
            case 0x04:
                return inverts ? static_cast<std::uint32_t>(~liveness_) : liveness_;
            case 0x08:
                return factorial_;
            case 0x20:
                return interrupt_after_factorial_ ? 0x80 : 0;
            case 0x24:
                served_ = status;
                return status;
            case 0x80:
            case 0x88:
            case 0x90:
                return dma_[offset];
            case 0x98:
                return dma_running ? 1 : 0;
            default:
                violations.push_back("read of " + std::to_string(offset));
                return 0;
        }
    }
    void store(std::uint64_t offset, std::uint64_t value) {
        const auto low = static_cast<std::uint32_t>(value);
        switch (offset) {
            case 0x04:
                liveness_ = low;
                return;
            case 0x08:
                factorial_ = 1;
                for (std::uint32_t i = 2; i <= low; ++i)
                    factorial_ *= i;
                if (interrupt_after_factorial_ && !loses_interrupts)
                    raise(1);
                return;
            case 0x20:
                interrupt_after_factorial_ = (low & 0x80) != 0;
                return;
            case 0x60:
                raise(low);
                return;
            case 0x64:
                status &= ~low;
                return;
            case 0x80:
            case 0x88:
            case 0x90:
                if (dma_running)
                    violations.push_back("a DMA register changed during a transfer");
                dma_[offset] = value;
                return;
            case 0x98:
                if ((value & 1) != 0)
                    transfer(value);
                return;
            default:
                violations.push_back("write to " + std::to_string(offset));
        }
    }
    void transfer(std::uint64_t command) {
        const bool from_device = (command & 2) != 0;
        const std::uint64_t here = (from_device ? dma_[0x80] : dma_[0x88]) - 0x40000;
        const std::uint64_t there = (from_device ? dma_[0x88] : dma_[0x80]) - mapping_.iova;
        const std::uint64_t count = dma_[0x90];
        dma_running = true;
        if (never_ends_dma)
            return;
        if (!bus_master || here + count > 4096 || there + count > mapping_.memory.size())
            violations.push_back("a transfer that leads out of the buffer or the arena");
        else if (from_device)
            std::memcpy(mapping_.memory.data() + there, buffer.data() + here, count);
        else
            std::memcpy(buffer.data() + here, mapping_.memory.data() + there, count);
        dma_running = false;
        if ((command & 4) != 0 && !loses_interrupts)
            raise(0x100);
    }
    void line_changed() {
        if (status != 0 && !masked_ && enabled.contains(InterruptKind::intx)) {
            masked_ = true;
            fire(InterruptKind::intx);
        }
    }
    void fire(InterruptKind kind) {
        ++fires;
        served_ = 0;
        const std::uint64_t one = 1;
        EXPECT_EQ(::write(enabled.at(kind), &one, sizeof one), 8);
    }

    std::string name_ = "0000:00:06.0";
    std::uint32_t liveness_ = 0;
    std::uint32_t factorial_ = 0;
    std::uint32_t served_ = 0;  ///< causes that the driver has read since it fired
    bool interrupt_after_factorial_ = false;
    bool masked_ = false;
    std::map<std::uint64_t, std::uint64_t> dma_;
    DmaMapping mapping_;
};

class EduTest : public testing::TestWithParam<InterruptKind> {
  protected:
    EduTest() {
        auto backend = std::make_unique<FakeEdu>();
        fake = backend.get();
        device = std::make_unique<Device>(std::move(backend));
        arena = &device->create_arena(
            {.size = std::size_t{64} << 10, .address_bits = edu::address_bits, .huge_pages = false});
    }
    ~EduTest() override { EXPECT_EQ(fake->violations, std::vector<std::string>()); }
    EduTest(const EduTest&) = delete;
    EduTest& operator=(const EduTest&) = delete;
    EduTest(EduTest&&) = delete;
    EduTest& operator=(EduTest&&) = delete;

    std::unique_ptr<edu::Edu> start() { return loop.run(edu::Edu::start(*device, loop, GetParam())); }

    RunLoop loop;
    FakeEdu* fake = nullptr;
    std::unique_ptr<Device> device;
    DmaArena* arena = nullptr;
};

TEST_P(EduTest, ComputesFactorials) {
    const auto driver = start();
    EXPECT_TRUE(fake->bus_master);
    EXPECT_EQ(loop.run(driver->factorial(0)), 1U);
    EXPECT_EQ(loop.run(driver->factorial(10)), 3628800U);
    EXPECT_EQ(fake->status, 0U);
    EXPECT_EQ(fake->fires, 2);
    EXPECT_EQ(fake->fired_for_nothing, 0);
}

TEST_P(EduTest, CopiesBothWays) {
    const auto driver = start();
    const DmaBuffer out = arena->allocate(4096);
    const DmaBuffer in = arena->allocate(4096);
    for (std::size_t i = 0; i < 4096; ++i)
        out.address()[i] = static_cast<std::byte>(i * 7);
    loop.run(driver->copy_to_device(out.span().part(0, 4000), 95));
    EXPECT_EQ(std::memcmp(fake->buffer.data() + 95, out.address(), 4000), 0);
    loop.run(driver->copy_from_device(95, in.span().part(10, 4000)));
    EXPECT_EQ(std::memcmp(in.address() + 10, out.address(), 4000), 0);
    EXPECT_EQ(in.address()[9], std::byte{0});
    EXPECT_EQ(in.address()[4010], std::byte{0});
}

TEST_P(EduTest, RefusesWhatDoesNotFit) {
    const auto driver = start();
    const DmaBuffer buffer = arena->allocate(8192);
    EXPECT_ERROR(
        loop.run(driver->copy_to_device(buffer.span(), 0)), ErrorKind::usage,
        "cannot copy to or from the buffer of 0000:00:06.0: 8192 bytes at offset 0 do not lie in its 4095 "
        "bytes");
    EXPECT_THROW(loop.run(driver->copy_from_device(4090, buffer.span().part(0, 6))), Error);
    EXPECT_THROW(loop.run(driver->copy_from_device(~std::size_t{0}, buffer.span().part(0, 6))), Error);
    EXPECT_THROW(loop.run(driver->copy_from_device(0, buffer.span().part(0, 0))), Error);
}

TEST_P(EduTest, ServesInterruptsRaisedByHand) {
    const auto driver = start();
    for (std::uint32_t i = 1; i <= 100; ++i) {
        driver->raise(i);
        EXPECT_EQ(loop.run(driver->next_interrupt()), i);
    }
    EXPECT_EQ(fake->fires, 100);
    EXPECT_EQ(fake->fired_for_nothing, 0);
    driver->raise(0x10);
    EXPECT_EQ(loop.run(driver->factorial(5)), 120U) << "others' causes do not disturb";
}

TEST_P(EduTest, ALostInterruptTimesOut) {
    const auto driver = start();
    fake->loses_interrupts = true;
    EXPECT_ERROR(loop.run(driver->factorial(5)), ErrorKind::timed_out,
                 "cannot finish the factorial of 5 on 0000:00:06.0: no answer within 2 s");
}

TEST_P(EduTest, ATransferThatNeverEndsLosesTheBus) {
    const auto driver = start();
    const DmaBuffer buffer = arena->allocate(4096);
    fake->never_ends_dma = true;
    EXPECT_ERROR(loop.run(driver->copy_to_device(buffer.span().part(0, 16), 0)), ErrorKind::timed_out,
                 "cannot finish a DMA transfer of 16 bytes on 0000:00:06.0: no answer within 2 s");
    EXPECT_FALSE(fake->bus_master);
}

TEST_P(EduTest, ACancelledTransferEndsBeforeItsMemoryIsGivenBack) {
    const auto driver = start();
    const DmaBuffer buffer = arena->allocate(4096);
    fake->never_ends_dma = true;
    Task<void> copy = driver->copy_to_device(buffer.span().part(0, 16), 0);
    copy.start();
    loop.turn(Clock::now());
    copy.cancel();
    const auto cancelled = Clock::now();
    while (!copy.done()) {
        loop.turn(Clock::now() + 10ms);
        if (Clock::now() > cancelled + 50ms)
            fake->dma_running = false;
        else
            EXPECT_FALSE(copy.done());
    }
    EXPECT_THROW(copy.take_result(), Cancelled);
}

TEST_P(EduTest, WaitsForTheTransferOfAnEarlierDriver) {
    fake->dma_running = true;
    fake->status = 0x101;
    Task<std::unique_ptr<edu::Edu>> starting = edu::Edu::start(*device, loop, GetParam());
    starting.start();
    loop.turn(Clock::now() + 20ms);
    EXPECT_FALSE(starting.done());
    EXPECT_FALSE(fake->bus_master);
    fake->dma_running = false;
    while (!starting.done())
        loop.turn(Clock::now() + 1s);
    const auto driver = starting.take_result();
    EXPECT_EQ(fake->fires, 0) << "old causes were acknowledged before the interrupt was enabled";
    EXPECT_EQ(loop.run(driver->factorial(3)), 6U);
}

TEST_P(EduTest, RefusesADeviceThatIsNone) {
    fake->identification = 0xffffffff;
    fake->inverts = false;
    EXPECT_ERROR(
        start(), ErrorKind::io,
        "cannot start the edu driver on 0000:00:06.0: it is no edu device, or it is dead: identification "
        "0xffffffff, liveness 0x5a0ff0a5; check with `outboard list` what the device is");
    EXPECT_FALSE(fake->bus_master);
}

TEST_P(EduTest, ShutDownBringsItToRest) {
    const auto driver = start();
    loop.run(driver->shut_down());
    EXPECT_FALSE(fake->bus_master);
    EXPECT_TRUE(fake->enabled.empty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, EduTest, testing::Values(InterruptKind::intx, InterruptKind::msi),
                         [](const auto& kind) { return kind.param == InterruptKind::intx ? "intx" : "msi"; });

TEST(EduDescription, MatchesItsIdentity) {
    EXPECT_EQ(edu::description.match({.vendor = 0x1234, .device = 0x11e8}), "QEMU edu");
    EXPECT_EQ(edu::description.match({.vendor = 0x1234, .device = 0x1111}), "");
    EXPECT_EQ(edu::description.match({.vendor = 0x8086, .device = 0x11e8}), "");
}

TEST(EduDescription, StartsADriverByMsi) {
    auto backend = std::make_unique<FakeEdu>();
    FakeEdu& fake = *backend;
    Device device(std::move(backend));
    RunLoop loop;
    const auto driver = loop.run(edu::description.start(device, loop, {}));
    EXPECT_TRUE(fake.enabled.contains(InterruptKind::msi));
    EXPECT_TRUE(driver->block_devices().empty());
    loop.run(driver->shut_down());
}

}  // namespace
}  // namespace outboard
