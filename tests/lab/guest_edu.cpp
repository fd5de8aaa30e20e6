// The edu driver on QEMU's device: run in a guest of `outboard lab --device edu`. The suite, and containment
// of a device whose driver was killed.
#include "outboard/backend/pci/iommu_faults.hpp"
#include "outboard/drivers/edu/edu.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/drivers/edu/edu_suite.hpp"
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

// ---- where the suite runs ----

class LabEdu final : public test::EduPlace {
  public:
    std::unique_ptr<Device> open() override { return borrowed_.open(); }

    std::uint32_t interrupts() const override {
        const char* const count = std::getenv("GUEST_EDU_INTERRUPTS");
        return count != nullptr ? static_cast<std::uint32_t>(std::stoul(count)) : EduPlace::interrupts();
    }
    /// From /proc/interrupts.
    std::uint64_t times_fired() override;

    std::vector<test::DmaFault> faults_soon() override {
        std::vector<IommuFault> faults;
        holds_within(2s, [&] {
            faults = watch_.take(PciAddress::parse(test::edu_name));
            return !faults.empty();
        });
        std::vector<test::DmaFault> found;
        for (const IommuFault& fault : faults)
            found.push_back({.write = fault.write, .iova = fault.iova});
        return found;
    }

  private:
    Borrowed borrowed_{test::edu_name};
    IommuFaultWatch watch_;
};

std::uint64_t LabEdu::times_fired() {
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

std::unique_ptr<test::EduPlace> test::make_edu_place() {
    return std::make_unique<LabEdu>();
}

}  // namespace outboard
