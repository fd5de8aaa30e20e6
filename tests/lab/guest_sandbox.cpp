// The sandbox in a guest of the lab: what tests/host/sandbox_test.cpp does on this kernel, and what needs a
// device. Run with --device edu,dma_mask=0xffffffffffff --device nvme, and with the modules in /tmp.
#include "outboard/backend/pci/iommu_faults.hpp"
#include "outboard/classes/block_io.hpp"
#include "outboard/host/module_file.hpp"
#include "outboard/runtime/loop_thread.hpp"
#include "outboard/runtime/ring_stock.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tests/host/sandboxed.hpp"
#include "tests/lab/guest.hpp"
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using test::in_child;
using test::Say;
using test::Start;
using test::Testimony;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr std::size_t page = 4096;
constexpr std::byte fill{0x3c};

/// What a host does: the device, its memory and its rings first, then the sandbox, then the driver.
struct Hosted {
    Hosted(const char* device_name, const char* module_file, unsigned rings)
        : module(open_module(module_file)),
          device(Device::open(device_name)),
          stock(rings),
          loop({.stock = &stock}) {}

    const DriverDescription& enter() {
        device->create_arena({.size = std::size_t{8} << 20, .address_bits = 28});
        SandboxRules rules = test::rules_for(Start::root);
        rules.driver_file = module.fd.get();
        rules.driver_path = module.path;
        const DriverDescription* driver = nullptr;
        enter_sandbox(rules, [&] { driver = &load_module(module.path, *module.description.driver); });
        return *driver;
    }

    ModuleFile module;
    std::unique_ptr<Device> device;
    RingStock stock;
    RunLoop loop;
};

/// Where a page of this process lies in physical memory.
std::uint64_t physical_address(const std::byte* memory) {
    const Fd map(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    std::uint64_t entry = 0;
    const auto offset = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(memory) / page * 8);
    EXPECT_EQ(::pread(map.get(), &entry, sizeof entry, offset), 8);
    return (entry & ((std::uint64_t{1} << 55) - 1)) * page;
}

TEST(GuestSandbox, TheDeviceOfAHostileDriverReachesNobodysMemory) {
    const test::Borrowed borrowed(test::edu_name);
    IommuFaultWatch watch;
    auto* const victim = static_cast<std::byte*>(
        ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
    std::memset(victim, std::to_integer<int>(fill), page);
    const std::uint64_t target = physical_address(victim);
    ASSERT_NE(target, 0U);
    ::setenv("HOSTILE_DMA_TARGET", std::to_string(target).c_str(), 1);
    const Testimony testimony = in_child([](const Say& say) {
        Hosted hosted(test::edu_name, std::getenv("OUTBOARD_HOSTILE"), 1);
        const DriverDescription& driver = hosted.enter();
        DriverOptions options;
        options.report = [&](std::string_view line) { say(std::string(line)); };
        const auto started = hosted.loop.run(driver.start(*hosted.device, hosted.loop, std::move(options)));
        say("still at work");
        ::_exit(0);  // a host has no container, and leaves its mappings to the supervisor
    });
    ::unsetenv("HOSTILE_DMA_TARGET");
    EXPECT_THAT(testimony.lines, Contains("still at work"));
    EXPECT_THAT(testimony.lines,
                Contains("DMA: read outside of its memory\twhat lies there does not arrive"));
    EXPECT_THAT(testimony.lines, Contains(HasSubstr("DMA: write outside")));
    EXPECT_THAT(testimony.lines, Not(Contains(HasSubstr("SUCCEEDED"))));
    EXPECT_EQ(std::ranges::count(std::span(victim, page), fill), static_cast<std::ptrdiff_t>(page));
    std::vector<IommuFault> faults;
    EXPECT_TRUE(test::holds_within(2s,
                                   [&] {
                                       for (const IommuFault& fault :
                                            watch.take(PciAddress::parse(test::edu_name)))
                                           faults.push_back(fault);
                                       return std::ranges::any_of(faults, &IommuFault::write) &&
                                              !std::ranges::all_of(faults, &IommuFault::write);
                                   }))
        << faults.size() << " faults";
    std::printf("    %zu IOMMU faults, the first at %#llx; the page is at %#llx\n", faults.size(),
                static_cast<unsigned long long>(faults.empty() ? 0 : faults.front().iova),
                static_cast<unsigned long long>(target));
}

Task<void> write_and_read(RunLoop& loop, BlockDevice& disk, const Say& say, std::string where,
                          std::uint64_t offset) {
    BlockIo io(disk, loop);
    const DmaBuffer buffer = disk.arena().allocate(page, page);
    std::memset(buffer.address(), 0x42, page);
    const BlockStatus written = co_await io.write(offset, buffer.span());
    std::memset(buffer.address(), 0, page);
    const BlockStatus read = co_await io.read(offset, buffer.span());
    const bool same =
        std::ranges::all_of(buffer.span().bytes(), [](std::byte b) { return b == std::byte{0x42}; });
    say(where + (written == BlockStatus::ok && read == BlockStatus::ok && same ? " works" : " fails"));
}

TEST(GuestSandbox, AnHonestModuleDrivesItsDisk) {
    const test::Borrowed borrowed(test::nvme_name);
    const Testimony testimony = in_child([](const Say& say) {
        Hosted hosted(test::nvme_name, std::getenv("OUTBOARD_NVME"), 2);
        const DriverDescription& driver = hosted.enter();
        DriverOptions options;
        options.queues = 2;
        options.report = [&](std::string_view line) { say(std::string(line)); };
        const std::unique_ptr<Driver> started =
            hosted.loop.run(driver.start(*hosted.device, hosted.loop, std::move(options)));
        BlockDevice& disk = *started->block_devices().at(0);
        hosted.loop.run(write_and_read(hosted.loop, disk, say, "main", 0));
        {
            const Fd ended(::eventfd(0, EFD_CLOEXEC));
            LoopThread thread([&](RunLoop& loop) { return write_and_read(loop, disk, say, "thread", page); },
                              {.name = "queue", .loop = {.stock = &hosted.stock}, .at_end = [&] {
                                   ::eventfd_write(ended.get(), 1);
                               }});
            std::uint64_t count = 0;
            ::eventfd_read(ended.get(), &count);
            thread.take_result();
        }
        hosted.loop.run(started->shut_down());
        say("at rest");
        ::_exit(0);
    });
    EXPECT_THAT(testimony.lines, testing::ElementsAre("main works", "thread works", "at rest"));
    EXPECT_EQ(testimony.status, 0);
}

}  // namespace
}  // namespace outboard
