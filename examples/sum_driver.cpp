// The driver of the device in sum_device.cpp: it lets the device add up the bytes of a text.
#include "outboard/base/error.hpp"
#include "outboard/device/device.hpp"
#include "outboard/runtime/deadline.hpp"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

using namespace outboard;

struct Address : Register<Address, std::uint64_t, 0x00, Access::read_write> {};
struct Length : Register<Length, std::uint32_t, 0x08, Access::write_only> {};  // writing it starts the device
struct Sum : Register<Sum, std::uint64_t, 0x10, Access::read_only> {};
struct Failed : Register<Failed, std::uint32_t, 0x18, Access::read_only> {};

Task<std::uint64_t> add_up(Device& device, RunLoop& loop, DmaSpan buffer) {
    const auto registers = device.region(RegionIndex::bar0).block<0x1c>();
    const std::vector<Interrupt> interrupts = device.enable_interrupts(InterruptKind::msix);
    registers.write(Value<Address>(buffer.iova));
    std::atomic_thread_fence(
        std::memory_order_release);  // the buffer is written before the device is started
    registers.write(Value<Length>(static_cast<std::uint32_t>(buffer.length)));
    std::uint64_t count = 0;
    co_await loop.event(interrupts.front().eventfd(), count);
    if (registers.read<Failed>().raw() != 0)
        throw Error({.kind = ErrorKind::io,
                     .action = "add up with",
                     .subject = device.name(),
                     .cause = "it cannot read the buffer",
                     .remedy = {}});
    co_return registers.read<Sum>().raw();
}

int main(int argc, char** argv) try {
    if (argc != 3)
        return std::fprintf(stderr, "usage: sum_driver DEVICE TEXT\n"), 2;
    const std::string_view text = argv[2];
    const auto device = Device::open(argv[1]);
    DmaArena& arena = device->create_arena({.size = 64 * 1024, .huge_pages = false});
    const DmaBuffer buffer = arena.allocate(text.size() + 1);
    std::memcpy(buffer.address(), text.data(), text.size());
    device->set_bus_master(true);
    RunLoop loop;
    Task<std::uint64_t> task = add_up(*device, loop, buffer.span());
    const std::uint64_t sum =
        loop.run(with_deadline(loop, std::move(task), std::chrono::seconds(1), "the sum"));
    return std::printf("%lu\n", sum) < 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "sum_driver: %s\n", error.what());
    return 1;
}
