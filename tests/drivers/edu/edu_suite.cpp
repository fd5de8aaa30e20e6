// The edu driver on a device that behaves: interrupts without loss, DMA both ways, and containment when the
// device is told a wrong address.
#include "tests/drivers/edu/edu_suite.hpp"

#include "outboard/base/error.hpp"
#include "outboard/drivers/edu/edu.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t arena_bytes = std::size_t{128} << 10;
constexpr std::size_t page = 4096;

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>((i * 2654435761U + seed) >> 13);
    return bytes;
}

class EduSuite : public testing::TestWithParam<InterruptKind> {
  protected:
    EduSuite() : place(test::make_edu_place()), device(place->open()) {
        arena = &device->create_arena(
            {.size = arena_bytes, .address_bits = edu::address_bits, .huge_pages = false});
        driver = loop.run(edu::Edu::start(*device, loop, GetParam()));
    }
    ~EduSuite() override {
        if (driver)
            loop.run(driver->shut_down());
    }
    EduSuite(const EduSuite&) = delete;
    EduSuite& operator=(const EduSuite&) = delete;
    EduSuite(EduSuite&&) = delete;
    EduSuite& operator=(EduSuite&&) = delete;

    std::unique_ptr<test::EduPlace> place;
    RunLoop loop;
    std::unique_ptr<Device> device;
    DmaArena* arena = nullptr;
    std::unique_ptr<edu::Edu> driver;
};

TEST_P(EduSuite, ComputesFactorials) {
    EXPECT_EQ(loop.run(driver->factorial(1)), 1U);
    EXPECT_EQ(loop.run(driver->factorial(12)), 479001600U);
    std::uint32_t wrapped = 1;
    for (std::uint32_t i = 2; i <= 20; ++i)
        wrapped *= i;
    EXPECT_EQ(loop.run(driver->factorial(20)), wrapped);
}

TEST_P(EduSuite, CopiesBothWays) {
    const DmaBuffer out = arena->allocate(page);
    const DmaBuffer in = arena->allocate(2 * page);
    const auto bytes = pattern(edu::buffer_bytes, 1);
    std::ranges::copy(bytes, out.address());
    std::memset(in.address(), 0xee, in.length());
    loop.run(driver->copy_to_device(out.span().part(0, edu::buffer_bytes), 0));
    loop.run(driver->copy_from_device(0, in.span().part(100, edu::buffer_bytes)));
    EXPECT_TRUE(std::ranges::equal(bytes, in.span().part(100, edu::buffer_bytes).bytes()));
    const auto untouched = [](std::span<const std::byte> beside) {
        return std::ranges::count(beside, std::byte{0xee}) == static_cast<std::ptrdiff_t>(beside.size());
    };
    EXPECT_TRUE(untouched(in.span().part(0, 100).bytes()));
    EXPECT_TRUE(
        untouched(in.span().part(100 + edu::buffer_bytes, in.length() - 100 - edu::buffer_bytes).bytes()));
    loop.run(driver->copy_from_device(1000, in.span().part(0, 8)));
    EXPECT_EQ(std::memcmp(in.address(), bytes.data() + 1000, 8), 0);
}

/// Raises interrupts one after the other; each must come once and carry its own cause. Gives the first that
/// did not, or `count`.
Task<std::uint32_t> raise_and_serve(edu::Edu& driver, std::uint32_t count) {
    for (std::uint32_t i = 1; i <= count; ++i) {
        driver.raise(i);
        const std::uint32_t causes = co_await driver.next_interrupt();
        if (causes != i)
            co_return i;
    }
    co_return count;
}

TEST_P(EduSuite, OfManyInterruptsNoneIsLostAndNoneIsSpurious) {
    const std::uint32_t count = place->interrupts();
    const std::uint64_t before = place->times_fired();
    auto all = raise_and_serve(*driver, count);
    ASSERT_EQ(loop.run(with_deadline(loop, std::move(all), 120s, "many interrupts")), count);
    EXPECT_EQ(place->times_fired() - before, count) << "as the other side counts them";
    auto one_more = driver->next_interrupt();
    EXPECT_THROW(loop.run(with_deadline(loop, std::move(one_more), 300ms, "an interrupt that nobody raised")),
                 Error);
}

INSTANTIATE_TEST_SUITE_P(By, EduSuite, testing::Values(InterruptKind::msi, InterruptKind::intx),
                         [](const auto& kind) { return kind.param == InterruptKind::intx ? "intx" : "msi"; });

// ---- a device that was told a wrong address ----

class EduContainment : public EduSuite {
  protected:
    std::uint64_t unmapped() const {
        const auto all = arena->span();
        return (all.iova + all.length + (std::uint64_t{1} << 20)) & ~std::uint64_t{page - 1};
    }
    void write_to_unmapped() {
        loop.run(driver->copy_from_device(0, {.address = nullptr, .iova = unmapped(), .length = 512}));
    }
    void read_from_unmapped() {
        loop.run(driver->copy_to_device({.address = nullptr, .iova = unmapped(), .length = 512}, 0));
    }
    /// Linux reports ten faults in five seconds and drops the rest, which earlier tests may have used up.
    void expect_fault(bool write) {
        const TimePoint limit = Clock::now() + 15s;
        std::vector<test::DmaFault> faults;
        do {
            if (write)
                write_to_unmapped();
            else
                read_from_unmapped();
            faults = place->faults_soon();
        } while (faults.empty() && Clock::now() < limit);
        ASSERT_FALSE(faults.empty()) << "no fault was reported";
        EXPECT_EQ(faults[0].write, write);
        EXPECT_EQ(faults[0].iova & ~std::uint64_t{page - 1}, unmapped());
    }
};

TEST_P(EduContainment, WritesToWhatIsNotMappedAreBlocked) {
    const auto all = arena->span();
    const auto before = pattern(all.length, 7);
    std::ranges::copy(before, all.address);
    ASSERT_LT(unmapped() + page, std::uint64_t{1} << edu::address_bits);
    write_to_unmapped();
    EXPECT_TRUE(std::ranges::equal(before, all.bytes())) << "memory of the arena changed";

    // The same transfer to a mapped address does change it: the check above can fail.
    loop.run(driver->copy_from_device(0, all.part(0, 512)));
    EXPECT_FALSE(std::ranges::equal(before, all.bytes()));
}

TEST_P(EduContainment, ReadsOfWhatIsNotMappedGiveNothingOfTheArena) {
    const auto all = arena->span();
    std::memset(all.address, 0x5a, all.length);
    read_from_unmapped();
    loop.run(driver->copy_from_device(0, all.part(0, 512)));
    EXPECT_EQ(std::ranges::count(all.part(0, 512).bytes(), std::byte{0x5a}), 0);
}

/// Apart from the others: a machine around the device may contain it without a word.
using EduFaultReports = EduContainment;

TEST_P(EduFaultReports, WritesToWhatIsNotMappedAreReported) {
    expect_fault(true);
}

TEST_P(EduFaultReports, ReadsOfWhatIsNotMappedAreReported) {
    expect_fault(false);
}

INSTANTIATE_TEST_SUITE_P(By, EduContainment, testing::Values(InterruptKind::msi),
                         [](const auto&) { return "msi"; });
INSTANTIATE_TEST_SUITE_P(By, EduFaultReports, testing::Values(InterruptKind::msi),
                         [](const auto&) { return "msi"; });

}  // namespace
}  // namespace outboard
