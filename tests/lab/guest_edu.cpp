// The edu driver on QEMU's device: run in a guest of `outboard lab --device edu`. Interrupts without loss,
// DMA both ways, and containment: of a device that was told a wrong address, and of one whose driver was
// killed.
#include "outboard/backend/pci/iommu_faults.hpp"
#include "outboard/drivers/edu/edu.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/lab/guest.hpp"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using test::Borrowed;
using test::holds_within;

constexpr std::size_t arena_bytes = std::size_t{128} << 10;
constexpr std::size_t page = 4096;

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>((i * 2654435761U + seed) >> 13);
    return bytes;
}

class GuestEdu : public testing::TestWithParam<InterruptKind> {
  protected:
    GuestEdu() : borrowed(test::edu_name), device(borrowed.open()) {
        arena = &device->create_arena(
            {.size = arena_bytes, .address_bits = edu::address_bits, .huge_pages = false});
        driver = loop.run(edu::Edu::start(*device, loop, GetParam()));
    }
    ~GuestEdu() override {
        if (driver)
            loop.run(driver->shut_down());
    }
    GuestEdu(const GuestEdu&) = delete;
    GuestEdu& operator=(const GuestEdu&) = delete;
    GuestEdu(GuestEdu&&) = delete;
    GuestEdu& operator=(GuestEdu&&) = delete;

    Borrowed borrowed;
    RunLoop loop;
    std::unique_ptr<Device> device;
    DmaArena* arena = nullptr;
    std::unique_ptr<edu::Edu> driver;
};

TEST_P(GuestEdu, ComputesFactorials) {
    EXPECT_EQ(loop.run(driver->factorial(1)), 1U);
    EXPECT_EQ(loop.run(driver->factorial(12)), 479001600U);
    std::uint32_t wrapped = 1;
    for (std::uint32_t i = 2; i <= 20; ++i)
        wrapped *= i;
    EXPECT_EQ(loop.run(driver->factorial(20)), wrapped);
}

TEST_P(GuestEdu, CopiesBothWays) {
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

/// How often the kernel has seen the device's line fire, from /proc/interrupts.
std::uint64_t times_fired() {
    std::ifstream table("/proc/interrupts");
    std::uint64_t total = 0;
    for (std::string line; std::getline(table, line);) {
        if (line.find("vfio-intx(" + std::string(test::edu_name) + ")") == std::string::npos &&
            line.find("vfio-msi[0](" + std::string(test::edu_name) + ")") == std::string::npos)
            continue;
        std::istringstream words(line);
        std::string number;
        words >> number;
        for (std::uint64_t count = 0; words >> count;)
            total += count;
    }
    return total;
}

TEST_P(GuestEdu, OfAHundredThousandInterruptsNoneIsLostAndNoneIsSpurious) {
    constexpr std::uint32_t count = 100'000;
    const std::uint64_t before = times_fired();
    auto all = raise_and_serve(*driver, count);
    ASSERT_EQ(loop.run(with_deadline(loop, std::move(all), 120s, "100000 interrupts")), count);
    EXPECT_EQ(times_fired() - before, count) << "as the kernel counts them";
    auto one_more = driver->next_interrupt();
    EXPECT_THROW(loop.run(with_deadline(loop, std::move(one_more), 300ms, "an interrupt that nobody raised")),
                 Error);
}

INSTANTIATE_TEST_SUITE_P(By, GuestEdu, testing::Values(InterruptKind::msi, InterruptKind::intx),
                         [](const auto& kind) { return kind.param == InterruptKind::intx ? "intx" : "msi"; });

// ---- a device that was told a wrong address ----

using GuestEduContainment = GuestEdu;

std::vector<IommuFault> faults_soon(IommuFaultWatch& watch) {
    std::vector<IommuFault> faults;
    holds_within(2s, [&] {
        faults = watch.take(PciAddress::parse(test::edu_name));
        return !faults.empty();
    });
    return faults;
}

TEST_P(GuestEduContainment, WritesToWhatIsNotMappedAreBlockedAndReported) {
    const auto all = arena->span();
    const auto before = pattern(all.length, 7);
    std::ranges::copy(before, all.address);
    IommuFaultWatch watch;

    const std::uint64_t unmapped =
        (all.iova + all.length + (std::uint64_t{1} << 20)) & ~std::uint64_t{page - 1};
    ASSERT_LT(unmapped + page, std::uint64_t{1} << edu::address_bits);
    loop.run(driver->copy_from_device(0, {.address = nullptr, .iova = unmapped, .length = 512}));

    EXPECT_TRUE(std::ranges::equal(before, all.bytes())) << "memory of the arena changed";
    const auto faults = faults_soon(watch);
    ASSERT_FALSE(faults.empty()) << "the IOMMU reported nothing";
    EXPECT_TRUE(faults[0].write);
    EXPECT_EQ(faults[0].iova & ~std::uint64_t{page - 1}, unmapped);

    // The same transfer to a mapped address does change it: the check above can fail.
    loop.run(driver->copy_from_device(0, all.part(0, 512)));
    EXPECT_FALSE(std::ranges::equal(before, all.bytes()));
}

TEST_P(GuestEduContainment, ReadsOfWhatIsNotMappedAreBlockedAndReported) {
    const auto all = arena->span();
    IommuFaultWatch watch;
    const std::uint64_t unmapped =
        (all.iova + all.length + (std::uint64_t{2} << 20)) & ~std::uint64_t{page - 1};
    loop.run(driver->copy_to_device({.address = nullptr, .iova = unmapped, .length = 512}, 0));
    const auto faults = faults_soon(watch);
    ASSERT_FALSE(faults.empty()) << "the IOMMU reported nothing";
    EXPECT_FALSE(faults[0].write);
    EXPECT_EQ(faults[0].iova & ~std::uint64_t{page - 1}, unmapped);
}

INSTANTIATE_TEST_SUITE_P(By, GuestEduContainment, testing::Values(InterruptKind::msi),
                         [](const auto&) { return "msi"; });

// ---- a device whose driver was killed ----

/// The number of the physical page behind each page of `memory`, which is present.
std::vector<std::uint64_t> physical_pages(std::span<const std::byte> memory) {
    const Fd map(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    std::vector<std::uint64_t> entries(memory.size() / page);
    const auto offset = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(memory.data()) / page * 8);
    const auto bytes = entries.size() * 8;
    EXPECT_EQ(::pread(map.get(), entries.data(), bytes, offset), static_cast<ssize_t>(bytes));
    for (std::uint64_t& entry : entries)
        entry &= (std::uint64_t{1} << 55) - 1;
    return entries;
}

/// Lets the device write to its arena for ever. Tells through `out` where in physical memory, then each time
/// it starts.
[[noreturn]] void write_for_ever(int out) {
    try {
        RunLoop loop;
        const auto device = Device::open(test::edu_name);
        DmaArena& arena = device->create_arena(
            {.size = arena_bytes, .address_bits = edu::address_bits, .huge_pages = false});
        const auto driver = loop.run(edu::Edu::start(*device, loop, InterruptKind::msi));
        const DmaBuffer source = arena.allocate(page);
        std::memset(source.address(), 0xa5, page);
        loop.run(driver->copy_to_device(source.span().part(0, edu::buffer_bytes), 0));
        const DmaBuffer target = arena.allocate(page, page);
        std::memset(target.address(), 0, page);
        const std::uint64_t where = physical_pages(target.span().bytes()).at(0);
        for (;;) {
            if (::write(out, &where, sizeof where) != sizeof where)
                ::_exit(1);
            loop.run(driver->copy_from_device(0, target.span().part(0, edu::buffer_bytes)));
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "the process to be killed: %s\n", error.what());
    }
    ::_exit(1);
}

bool dma_running(Device& device) {
    return device.region(RegionIndex::bar0)
        .block<edu::register_bytes>()
        .read<edu::DmaCommand>()[edu::DmaCommand::start];
}

/// Small pages of this process, in which everything is `fill`.
class Memory {
  public:
    Memory(std::size_t size, std::byte fill)
        : bytes_(static_cast<std::byte*>(
                     ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
                 size) {
        // Single pages are taken from what was freed last; a huge page would come from elsewhere.
        ::madvise(bytes_.data(), size, MADV_NOHUGEPAGE);
        std::ranges::fill(bytes_, fill);
    }
    ~Memory() { ::munmap(bytes_.data(), bytes_.size()); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    Memory(Memory&&) = delete;
    Memory& operator=(Memory&&) = delete;

    std::span<const std::byte> bytes() const { return bytes_; }

  private:
    std::span<std::byte> bytes_;
};

/// One life and death of a process whose device writes to its arena.
struct Death {
    bool recaptured = false;     ///< this process got the page that the device was writing to
    bool still_running = false;  ///< and the transfer was not over when it had been filled
    std::ptrdiff_t written = 0;  ///< bytes of this process that changed afterwards
};

Death kill_during_a_transfer(const Borrowed& borrowed, std::chrono::milliseconds after) {
    constexpr std::size_t taken_bytes = 6 * arena_bytes;
    constexpr std::byte fill{0x3c};
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const Fd in(ends[0]);
    Fd out(ends[1]);
    const pid_t child = ::fork();
    if (child == 0)
        write_for_ever(out.get());
    out.reset();
    std::uint64_t target = 0;
    for (int transfer = 0; transfer < 2; ++transfer)  // the first proves that transfers do end
        EXPECT_EQ(::read(in.get(), &target, sizeof target), 8);
    const auto begin = Clock::now();
    std::this_thread::sleep_for(after);
    EXPECT_EQ(::kill(child, SIGKILL), 0);
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);

    // The memory that the process had is free: take it at once.
    const Memory taken(taken_bytes, fill);
    Death death;
    {
        const auto device = borrowed.open();
        death.still_running = dma_running(*device);
        EXPECT_TRUE(holds_within(2s, [&] { return !dma_running(*device); }));
    }
    death.recaptured = std::ranges::count(physical_pages(taken.bytes()), target) > 0;
    std::this_thread::sleep_until(begin + 200ms);
    death.written = static_cast<std::ptrdiff_t>(taken_bytes) - std::ranges::count(taken.bytes(), fill);
    return death;
}

TEST(GuestEduKill, NoPageThatLeftTheArenaIsEverWritten) {
    // On one processor, whose lists of free pages the killed process and this one share.
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    ASSERT_EQ(::sched_setaffinity(0, sizeof first, &first), 0);
    const Borrowed borrowed(test::edu_name);
    IommuFaultWatch watch;
    // A round says something when the transfer outlived the process and the page was somebody else's by then.
    // On a busy machine the transfer may be over before.
    constexpr int wanted = 20;
    int rounds = 0;
    int telling = 0;
    for (; telling < wanted && rounds < 10 * wanted; ++rounds) {
        const Death death = kill_during_a_transfer(borrowed, std::chrono::milliseconds(rounds % 25));
        ASSERT_EQ(death.written, 0) << "bytes of this process were written in round " << rounds;
        telling += death.recaptured && death.still_running ? 1 : 0;
    }
    const auto faults = watch.take(PciAddress::parse(test::edu_name));
    std::printf(
        "%d rounds, of which %d had the device's page while the transfer was going on; %zu IOMMU faults\n",
        rounds, telling, faults.size());
    EXPECT_EQ(telling, wanted);
}

}  // namespace
}  // namespace outboard
