// The edu driver on a device that lies.
#include "outboard/drivers/edu/edu.hpp"
#include "outboard/runtime/deadline.hpp"

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fuzz/lying_device.hpp"
#include "fuzz/require.hpp"
#include "fuzz/target.hpp"
#include "fuzz/virtual_time.hpp"
#include <sys/eventfd.h>

namespace outboard::fuzz {
namespace {

using namespace std::chrono_literals;

/// As much of an edu device (QEMU: docs/specs/edu) as lets a driver work; a transfer moves nothing.
class HonestEdu final : public Backend {
  public:
    const std::string& name() const noexcept override { return name_; }
    RegionInfo region_info(RegionIndex region) const override {
        if (region == RegionIndex::bar0)
            return {.size = 1 << 20, .readable = true, .writable = true, .mappable = {}};
        if (region == RegionIndex::config)
            return {.size = config_.size(), .readable = true, .writable = true, .mappable = {}};
        return {};
    }
    int read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept override {
        if (region == RegionIndex::config) {
            std::memcpy(data.data(), config_.data() + offset, data.size());
            return 0;
        }
        const std::uint64_t value = load(offset);
        std::memcpy(data.data(), &value, data.size());
        return 0;
    }
    int write_region(RegionIndex region, std::uint64_t offset,
                     std::span<const std::byte> data) noexcept override {
        if (region == RegionIndex::config) {
            std::memcpy(config_.data() + offset, data.data(), data.size());
            return 0;
        }
        std::uint64_t value = 0;
        std::memcpy(&value, data.data(), data.size());
        store(offset, static_cast<std::uint32_t>(value));
        return 0;
    }
    std::span<std::byte> map_region(RegionIndex, const MappableArea&) override { return {}; }
    InterruptInfo interrupt_info(InterruptKind kind) const override {
        return {.count = kind == InterruptKind::msix ? 0U : 1U, .maskable = kind == InterruptKind::intx};
    }
    void set_interrupts(InterruptKind, std::span<const int> eventfds) override {
        eventfd_ = eventfds.empty() ? -1 : eventfds.front();
    }
    int mask_intx() noexcept override { return 0; }
    int unmask_intx() noexcept override { return 0; }
    bool resettable() const noexcept override { return false; }
    void reset() override {}
    std::vector<IovaRange> iova_ranges() const override { return {{.first = 0x1000, .last = 0xffffffffff}}; }
    std::uint64_t dma_page_size() const noexcept override { return 4096; }
    void map_dma(const DmaMapping&) override {}
    void unmap_dma(std::uint64_t, std::uint64_t) override {}

  private:
    std::uint32_t load(std::uint64_t offset) const noexcept {
        switch (offset) {
            case 0x00:
                return 0x010000ed;
            case 0x04:
                return ~liveness_;
            case 0x08:
                return factorial_;
            case 0x24:
                return status_;
            default:
                return 0;
        }
    }
    void store(std::uint64_t offset, std::uint32_t value) noexcept {
        switch (offset) {
            case 0x04:
                liveness_ = value;
                break;
            case 0x08:
                factorial_ = value;
                raise(1);
                break;
            case 0x60:
                raise(value);
                break;
            case 0x64:
                status_ &= ~value;
                break;
            case 0x98:
                raise(0x100);
                break;
            default:
                break;
        }
    }
    void raise(std::uint32_t causes) noexcept {
        status_ |= causes;
        if (eventfd_ >= 0)
            ::eventfd_write(eventfd_, 1);
    }

    std::string name_ = "0000:00:04.0";
    std::vector<std::byte> config_ = std::vector<std::byte>(256);
    std::uint32_t liveness_ = 0;
    std::uint32_t factorial_ = 0;
    std::uint32_t status_ = 0;
    int eventfd_ = -1;
};

/// What a user may do, in an order that the input says.
class User {
  public:
    User(Input& input, LyingDevice& lying, Device& device, RunLoop& loop)
        : input_(input), lying_(lying), device_(device), loop_(loop) {}

    void run() {
        const auto kind = input_.flag() ? InterruptKind::msi : InterruptKind::intx;
        unsigned left = 1 + input_.below(8);
        std::unique_ptr<edu::Edu> edu;
        if (!attempt([&] { edu = loop_.run(edu::Edu::start(device_, loop_, kind)); }))
            return;
        for (; left > 0; --left)
            act(*edu);
        attempt([&] { loop_.run(edu->shut_down()); });
    }

  private:
    /// Twice an operation's limit for the operation and its aftermath, and some time to look.
    static constexpr Duration longest = 5s;

    template <class Action>
    bool attempt(Action&& action) {
        const TimePoint begin = Clock::now();
        bool good = true;
        try {
            action();
        } catch (const Error&) {
            good = false;
        }
        require(Clock::now() - begin < longest, "everything ends in time");
        return good;
    }

    void act(edu::Edu& edu) {
        switch (input_.below(4)) {
            case 0:
                attempt([&] { loop_.run(edu.factorial(input_.take<std::uint8_t>())); });
                break;
            case 1:
                copy([&](const DmaSpan& memory, std::size_t offset) {
                    return edu.copy_to_device(memory, offset);
                });
                break;
            case 2:
                copy([&](const DmaSpan& memory, std::size_t offset) {
                    return edu.copy_from_device(offset, memory);
                });
                break;
            default:
                edu.raise(input_.take<std::uint8_t>());
                attempt([&] { loop_.run(with_deadline(loop_, edu.next_interrupt(), 10ms, "an interrupt")); });
        }
    }

    template <class Copy>
    void copy(Copy&& start) {
        const std::size_t size = input_.take<std::uint16_t>() % 8192 + 1;
        const std::size_t offset = input_.take<std::uint16_t>();
        const DmaBuffer memory = device_.arena().allocate(size);
        const bool fits = offset < edu::buffer_bytes && size <= edu::buffer_bytes - offset;
        const bool good = attempt([&] { loop_.run(start(memory.span(), offset)); });
        if (!fits)
            require(!good, "what does not fit is refused");
        else if (!good && !lying_.broken())
            require((lying_.last_read() & 1) == 0 || !bus_master(),
                    "a transfer that failed is over, or the device may not master the bus");
    }

    bool bus_master() { return (device_.config().read16(4) & 4) != 0; }

    Input& input_;
    LyingDevice& lying_;
    Device& device_;
    RunLoop& loop_;
};

}  // namespace

void run(Input input) {
    reset_time();
    auto owned = std::make_unique<LyingDevice>(std::make_unique<HonestEdu>(), input);
    LyingDevice& lying = *owned;
    lying.watch(RegionIndex::bar0, 0x98);
    set_while_asleep([&lying] { return lying.asleep(); });
    {
        RunLoop loop({.entries = 16});
        Device device(std::move(owned));
        device.create_arena({.size = 64 * 1024, .address_bits = edu::address_bits, .huge_pages = false});
        User(input, lying, device, loop).run();
    }
    set_while_asleep({});
}

}  // namespace outboard::fuzz
