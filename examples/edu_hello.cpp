// A first driver: QEMU's edu device computes a factorial and raises an interrupt when it is done.
#include "outboard/device/device.hpp"
#include "outboard/runtime/deadline.hpp"

#include <cstdint>
#include <cstdio>

using namespace outboard;

struct Factorial : Register<Factorial, std::uint32_t, 0x08, Access::read_write> {};
struct Status : Register<Status, std::uint32_t, 0x20, Access::read_write> {
    static constexpr Bit<Status, 7> interrupt_when_done{};
};
struct Acknowledge : Register<Acknowledge, std::uint32_t, 0x64, Access::write_only> {};

Task<std::uint32_t> factorial(Device& device, RunLoop& loop, std::uint32_t number) {
    const auto registers = device.region(RegionIndex::bar0).block<0x68>();
    const std::vector<Interrupt> interrupts = device.enable_interrupts(InterruptKind::msi);
    registers.write(Value<Status>().with(Status::interrupt_when_done));
    registers.write(Value<Factorial>(number));
    std::uint64_t count = 0;
    co_await loop.event(interrupts.front().eventfd(), count);
    registers.write(Value<Acknowledge>(1));
    co_return registers.read<Factorial>().raw();
}

int main(int argc, char** argv) try {
    const auto device = Device::open(argc == 2 ? argv[1] : "0000:00:06.0");
    device->set_bus_master(true);  // a message-signalled interrupt is a write to memory
    RunLoop loop;
    Task<std::uint32_t> task = factorial(*device, loop, 10);
    const std::uint32_t result =
        loop.run(with_deadline(loop, std::move(task), std::chrono::seconds(1), "the factorial"));
    return std::printf("10! = %u\n", result) < 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "edu_hello: %s\n", error.what());
    return 1;
}
