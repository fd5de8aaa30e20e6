// A simulated device of one's own: it adds up the bytes of a buffer by DMA and raises an interrupt when done.
// Serve it with `sum_device SOCKET`, drive it with `sum_driver vfio-user:SOCKET TEXT`.
#include "outboard/sim/server.hpp"

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <vector>

using namespace outboard;

// The "specification" of the device. Its driver has a transcription of its own.
constexpr std::uint64_t address_register = 0x00;  // 8 bytes: where the buffer is
constexpr std::uint64_t length_register = 0x08;  // 4 bytes: how long it is, at most 64 KiB; writing it starts
constexpr std::uint64_t sum_register = 0x10;     // 8 bytes, read-only: the sum
constexpr std::uint64_t error_register = 0x18;   // 4 bytes, read-only: 1 when the buffer could not be read
constexpr std::uint32_t longest = 64 * 1024;

sim::PciDescription describe() {
    sim::PciDescription description{.name = "sum", .vendor = 0x1234, .device = 0x5050};
    description.bars[0] = {.kind = sim::BarKind::memory32, .size = 4096};
    description.msix = {
        .vectors = 1, .table_bar = 0, .table_offset = 0x800, .pending_bar = 0, .pending_offset = 0xc00};
    return description;
}

class SumDevice final : public sim::PciModel {
  public:
    SumDevice() : PciModel(describe()) {}

    std::uint64_t read(unsigned, std::uint64_t offset, unsigned) override {
        switch (offset) {
            case address_register:
                return address_;
            case sum_register:
                return sum_;
            case error_register:
                return failed_ ? 1 : 0;
            default:
                return 0;
        }
    }

    void write(unsigned, std::uint64_t offset, unsigned, std::uint64_t value) override {
        if (offset == address_register)
            address_ = value;
        else if (offset == length_register && value <= longest)
            add_up(value);
    }

    void reset() override {
        address_ = sum_ = 0;
        failed_ = false;
    }

  private:
    void add_up(std::uint64_t length) {
        std::vector<std::byte> buffer(length);
        failed_ = !dma().read(address_, buffer);  // not mapped by the driver, or bus mastering is off
        sum_ = 0;
        for (const std::byte byte : buffer)
            sum_ += std::to_integer<std::uint64_t>(byte);
        interrupts().notify(0);
    }

    std::uint64_t address_ = 0;
    std::uint64_t sum_ = 0;
    bool failed_ = false;
};

sim::Server* running = nullptr;

int main(int argc, char** argv) try {
    if (argc != 2)
        return std::fprintf(stderr, "usage: sum_device SOCKET\n"), 2;
    SumDevice device;
    sim::Server server(device, {.socket = argv[1], .log = {}});
    running = &server;
    for (const int number : {SIGINT, SIGTERM})
        std::signal(number, [](int) { running->stop(); });
    if (std::printf("vfio-user:%s\n", argv[1]) < 0 || std::fflush(stdout) != 0)
        return 1;
    server.serve();
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "sum_device: %s\n", error.what());
    return 1;
}
