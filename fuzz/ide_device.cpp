// The IDE driver on a controller and disks that lie.
#include "outboard/classes/block_device.hpp"
#include "outboard/drivers/ide/ide.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "fuzz/lying_device.hpp"
#include "fuzz/require.hpp"
#include "fuzz/target.hpp"
#include "fuzz/virtual_time.hpp"
#include "tests/drivers/ide/fake_ide.hpp"

namespace outboard::fuzz {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t data_bytes = 64 * 1024;

std::unique_ptr<outboard::testing::FakeIde> make_honest(Input& input) {
    struct Model {
        std::uint16_t vendor;
        std::uint16_t device;
        std::uint8_t programming_interface;
        bool interrupt_pin;
    };
    // PIIX3; CMD646 and a controller that nobody knows, in native mode; that one without a bus master.
    static constexpr std::array models{Model{0x8086, 0x7010, 0x80, false}, Model{0x1095, 0x0646, 0x8f, true},
                                       Model{0x1234, 0x0001, 0x8f, true}, Model{0x1234, 0x0001, 0x05, true}};
    const Model& model = models[input.below(models.size())];
    auto ide = std::make_unique<outboard::testing::FakeIde>(
        outboard::testing::FakeIde::Options{.vendor = model.vendor,
                                            .device = model.device,
                                            .programming_interface = model.programming_interface,
                                            .interrupt_pin = model.interrupt_pin,
                                            .bus_master = (model.programming_interface & 0x80) != 0,
                                            .latency = 1 + input.below(4)});
    const unsigned disks = input.below(8);
    for (unsigned place = 0; place < 3; ++place) {
        if ((disks >> place & 1) == 0)
            continue;
        auto& disk = ide->add_disk(place == 1 ? 1 : 0, place == 2 ? 1 : 0);
        const auto features = input.take<std::uint8_t>();
        disk.lba48 = (features & 1) == 0;
        disk.dma = (features & 2) == 0;
        disk.fua = (features & 4) != 0;
        disk.write_cache = (features & 8) == 0;
        disk.packet = (features & 0xf0) == 0xf0;
    }
    return ide;
}

/// What an export does with the disks, in an order that the input says.
class User {
  public:
    User(Input& input, Device& device, RunLoop& loop, Driver& driver)
        : input_(input),
          loop_(loop),
          disks_(driver.block_devices()),
          memory_(device.arena().allocate(data_bytes)) {
        for (BlockDevice* disk : disks_) {
            const BlockInfo& info = disk->info();
            require(info.block_size == 512 || info.block_size == 4096, "a block has 512 or 4096 bytes");
            require(info.capacity >= info.block_size && info.capacity % info.block_size == 0,
                    "a disk has blocks");
            require(info.max_transfer >= info.block_size && info.queue_depth > 0, "and takes requests");
            queues_.push_back(disk->open_queue(loop));
        }
    }

    void run(unsigned rounds) {
        for (; rounds > 0 && !disks_.empty(); --rounds)
            run_batch();
    }

  private:
    static constexpr std::size_t most = 4;
    /// Three attempts, each with a command that times out and a recovery of both disks of up to six commands,
    /// for each of the requests, which never go together.
    static constexpr Duration longest = most * 3 * 8 * 200ms;

    void fill(BlockRequest& request, std::array<DmaSpan, 3>& segments, const BlockInfo& info) {
        request = {};
        request.operation = static_cast<BlockOperation>(input_.below(5));
        request.force_unit_access = request.operation == BlockOperation::write && input_.flag();
        const std::uint64_t blocks = info.capacity / info.block_size;
        // Both ends of the disk, and a little beyond.
        const std::uint64_t place = input_.take<std::uint8_t>();
        request.offset =
            (place < 128 ? place : blocks - std::min(blocks, 240 - std::min<std::uint64_t>(place, 240))) *
            info.block_size;
        std::size_t count = 0;
        std::size_t at = 0;
        for (unsigned left = input_.below(static_cast<unsigned>(segments.size()) + 1); left > 0; --left) {
            const std::size_t length = (1 + input_.below(8)) * (input_.flag() ? info.block_size : 256);
            at += input_.below(4) * 2;
            segments[count] = memory_.span().part(at, length);
            at += length;
            request.length += length;
            ++count;
        }
        if (request.operation == BlockOperation::flush || request.operation == BlockOperation::discard)
            count = 0;
        if (request.operation == BlockOperation::flush)
            request.length = 0;
        request.data = std::span(segments).first(count);
    }

    void run_batch() {
        const std::size_t which = input_.below(static_cast<unsigned>(disks_.size()));
        BlockQueue& queue = *queues_[which];
        std::array<BlockRequest, most> requests;
        std::array<std::array<DmaSpan, 3>, most> segments;
        std::array<BlockRequest*, most> batch{};
        const std::size_t count = 1 + input_.below(most);
        for (std::size_t i = 0; i < count; ++i) {
            fill(requests[i], segments[i], disks_[which]->info());
            batch[i] = &requests[i];
        }
        require(queue.submit(std::span(batch).first(count)) == count, "an empty queue takes so many");
        const TimePoint limit = Clock::now() + longest;
        std::array<BlockRequest*, 2 * most> finished{};
        for (std::size_t left = count; left > 0;) {
            const std::size_t reaped = queue.reap(finished);
            require(reaped <= left, "no request comes back twice");
            left -= reaped;
            for (std::size_t i = 0; i < reaped; ++i)
                require(finished[i] >= requests.data() && finished[i] < requests.data() + count &&
                            finished[i]->status != BlockStatus::pending,
                        "what comes back was given and has ended");
            require(Clock::now() < limit, "every request ends in time");
            if (left > 0)
                loop_.turn(std::min(queue.next_reap(Clock::now()), limit));
        }
    }

    Input& input_;
    RunLoop& loop_;
    std::vector<BlockDevice*> disks_;
    DmaBuffer memory_;
    std::vector<std::unique_ptr<BlockQueue>> queues_;
};

void drive(Input& input, Device& device, RunLoop& loop) {
    const auto choice = input.take<std::uint8_t>();
    DriverOptions options;
    options.command_timeout = 100ms;
    options.reset_timeout = 100ms;
    options.dma = (choice & 1) == 0;
    options.completion = (choice & 2) == 0 ? CompletionMode::interrupt : CompletionMode::poll;
    if ((choice & 4) != 0)
        options.write_cache = (choice & 8) != 0;
    options.report = [](std::string_view text) { require(!text.empty(), "a report says something"); };
    const unsigned rounds = 1 + input.below(6);
    std::unique_ptr<Driver> driver;
    const TimePoint begin = Clock::now();
    try {
        driver = loop.run(ide::description.start(device, loop, options));
    } catch (const Error&) {
        require(Clock::now() - begin < 20s, "bring-up ends in time");
        return;
    }
    require(Clock::now() - begin < 20s, "bring-up ends in time");
    User(input, device, loop, *driver).run(rounds);
    const TimePoint end = Clock::now();
    try {
        loop.run(driver->shut_down());
    } catch (const Error&) {
        // A cache that could not be written, or a device that is gone.
        require(Clock::now() > end, "time passes");
    }
    require(Clock::now() - end < 20s, "shutting down ends in time");
}

}  // namespace

void run(Input input) {
    reset_time();
    auto owned = std::make_unique<LyingDevice>(make_honest(input), input);
    LyingDevice& lying = *owned;
    set_while_asleep([&lying] { return lying.asleep(); });
    {
        RunLoop loop({.entries = 16});
        Device device(std::move(owned));
        device.create_arena(
            {.size = ide::description.dma_bytes + data_bytes, .address_bits = 32, .huge_pages = false});
        try {
            drive(input, device, loop);
        } catch (const Error&) {
            require(lying.broken(), "only a device that fails its accesses ends a driver");
        }
    }
    set_while_asleep({});
}

}  // namespace outboard::fuzz
