// The virtio-blk driver on a device that lies: its registers, its capabilities and its rings.
#include "outboard/classes/block_device.hpp"
#include "outboard/drivers/virtio_blk/virtio_blk.hpp"
#include "outboard/sim/models/virtio_blk/disk.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <utility>

#include "fuzz/lying_device.hpp"
#include "fuzz/require.hpp"
#include "fuzz/simulated_backend.hpp"
#include "fuzz/target.hpp"
#include "fuzz/virtual_time.hpp"

namespace outboard::fuzz {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t data_bytes = 64 * 1024;

sim::virtio_blk::Options make_options(Input& input) {
    const auto choice = input.take<std::uint8_t>();
    const auto more = input.take<std::uint8_t>();
    sim::virtio_blk::Options options{
        .storage = {.size = 1 << 20, .write_cache = (more & 8) != 0 ? 65536U : 0U}, .queues = 2};
    options.queue_size = static_cast<std::uint16_t>(2U << (choice & 7));
    options.packed = (choice & 8) != 0;
    options.indirect = (choice & 16) == 0;
    options.event_index = (choice & 32) == 0;
    options.msix = (choice & 64) == 0;
    options.storage.block_size = (choice & 128) != 0 ? 4096 : 512;
    options.read_only = (more & 1) != 0;
    options.size_max = (more & 2) != 0 ? 4096 : 0;
    options.cache_switch = (more & 4) == 0;
    return options;
}

/// What an export does with the disk, in an order that the input says.
class User {
  public:
    User(Input& input, SimulatedBackend& honest, Device& device, RunLoop& loop, BlockDevice& disk)
        : input_(input),
          honest_(honest),
          loop_(loop),
          info_(disk.info()),
          memory_(device.arena().allocate(data_bytes)),
          queue_(disk.open_queue(loop)) {
        require(info_.block_size >= 512 && info_.block_size <= 65536, "a block has 512 to 65536 bytes");
        require(info_.capacity >= info_.block_size && info_.capacity % info_.block_size == 0,
                "a disk has blocks");
        require(info_.max_transfer >= info_.block_size && info_.queue_depth > 0 && info_.max_segments > 0,
                "and takes requests");
    }

    void run(unsigned rounds) {
        for (; rounds > 0; --rounds)
            run_batch();
    }

  private:
    static constexpr std::size_t most = 4;
    /// Twice as many attempts as resets may interrupt, each with a time-out and a reset of all sorts.
    static constexpr Duration longest = 60s;

    void fill(BlockRequest& request, std::array<DmaSpan, 3>& segments) {
        request = {};
        request.operation = static_cast<BlockOperation>(input_.below(5));
        request.force_unit_access = request.operation == BlockOperation::write && input_.flag();
        const std::uint64_t blocks = info_.capacity / info_.block_size;
        // Both ends of the disk, and a little beyond.
        const std::uint64_t place = input_.take<std::uint8_t>();
        request.offset =
            (place < 128 ? place : blocks - std::min(blocks, 240 - std::min<std::uint64_t>(place, 240))) *
            info_.block_size;
        std::size_t count = 0;
        std::size_t at = 0;
        const std::size_t unit = std::min<std::size_t>(info_.block_size, 4096);
        for (unsigned left = input_.below(static_cast<unsigned>(segments.size()) + 1); left > 0; --left) {
            const std::size_t length = (1 + input_.below(4)) * (input_.flag() ? unit : 256);
            at += input_.below(4);
            segments[count] = memory_.span().part(at, length);
            at += length;
            request.length += length;
            ++count;
        }
        if (request.operation != BlockOperation::read && request.operation != BlockOperation::write)
            count = 0;
        if (request.operation == BlockOperation::flush)
            request.length = 0;
        request.data = std::span(segments).first(count);
    }

    void run_batch() {
        std::array<BlockRequest, most> requests;
        std::array<std::array<DmaSpan, 3>, most> segments;
        std::array<BlockRequest*, most> batch{};
        const std::size_t count = std::min<std::size_t>(1 + input_.below(most), info_.queue_depth);
        for (std::size_t i = 0; i < count; ++i) {
            fill(requests[i], segments[i]);
            batch[i] = &requests[i];
        }
        require(queue_->submit(std::span(batch).first(count)) == count, "an empty queue takes so many");
        const TimePoint limit = Clock::now() + longest;
        std::array<BlockRequest*, 2 * most> finished{};
        for (std::size_t left = count; left > 0;) {
            const std::size_t reaped = queue_->reap(finished);
            require(reaped <= left, "no request comes back twice");
            left -= reaped;
            for (std::size_t i = 0; i < reaped; ++i)
                require(finished[i] >= requests.data() && finished[i] < requests.data() + count &&
                            finished[i]->status != BlockStatus::pending,
                        "what comes back was given and has ended");
            require(Clock::now() < limit, "every request ends in time");
            if (left == 0)
                break;
            honest_.turn();
            // Who polls sleeps a little all the same: this clock stands still otherwise, and so does the
            // ring.
            const TimePoint next = std::max(queue_->next_reap(Clock::now()), Clock::now() + 20us);
            loop_.turn(std::min(next, limit));
        }
    }

    Input& input_;
    SimulatedBackend& honest_;
    RunLoop& loop_;
    const BlockInfo& info_;
    DmaBuffer memory_;
    std::unique_ptr<BlockQueue> queue_;
};

void drive(Input& input, SimulatedBackend& honest, Device& device, RunLoop& loop) {
    const auto choice = input.take<std::uint8_t>();
    DriverOptions options;
    options.command_timeout = 100ms;
    options.reset_timeout = 100ms;
    options.completion = (choice & 1) == 0 ? CompletionMode::interrupt : CompletionMode::poll;
    if ((choice & 2) != 0)
        options.write_cache = (choice & 4) != 0;
    options.report = [](std::string_view text) { require(!text.empty(), "a report says something"); };
    const unsigned rounds = 1 + input.below(6);
    std::unique_ptr<Driver> driver;
    const TimePoint begin = Clock::now();
    try {
        driver = loop.run(virtio_blk::description.start(device, loop, options));
    } catch (const Error&) {
        require(Clock::now() - begin < 20s, "bring-up ends in time");
        return;
    }
    require(Clock::now() - begin < 20s, "bring-up ends in time");
    User(input, honest, device, loop, *driver->block_devices().front()).run(rounds);
    const TimePoint end = Clock::now();
    try {
        loop.run(driver->shut_down());
    } catch (const Error&) {
        // A cache that could not be written, or a device that is gone.
        require(Clock::now() >= end, "time passes");
    }
    require(Clock::now() - end < 20s, "shutting down ends in time");
}

}  // namespace

void run(Input input) {
    reset_time();
    auto model =
        std::make_unique<SimulatedBackend>(std::make_unique<sim::virtio_blk::Disk>(make_options(input)));
    SimulatedBackend& honest = *model;
    auto owned = std::make_unique<LyingDevice>(std::move(model), input);
    LyingDevice& lying = *owned;
    set_while_asleep([&] {
        const bool worked = honest.turn();
        return lying.asleep() || worked;
    });
    {
        RunLoop loop({.entries = 16});
        Device device(std::move(owned));
        DriverOptions options;
        device.create_arena({.size = virtio_blk::description.dma_bytes_for(options) + data_bytes,
                             .address_bits = 32,
                             .huge_pages = false});
        try {
            drive(input, honest, device, loop);
        } catch (const Error&) {
            require(lying.broken(), "only a device that fails its accesses ends a driver");
        }
    }
    set_while_asleep({});
}

}  // namespace outboard::fuzz
