// What a program does with a disk driver, in an order that the input says.
#pragma once

#include "outboard/base/error.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/classes/driver.hpp"
#include "outboard/device/device.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "fuzz/input.hpp"
#include "fuzz/require.hpp"

namespace outboard::fuzz {

/// What an export does with the disks, in an order that the input says.
class DiskUser {
  public:
    /// Requests of a batch, and bytes of the arena that they use.
    static constexpr std::size_t most = 4;
    static constexpr std::size_t data_bytes = 64 * 1024;

    DiskUser(Input& input, Device& device, RunLoop& loop, Driver& driver, Duration longest)
        : input_(input),
          loop_(loop),
          longest_(longest),
          disks_(driver.block_devices()),
          memory_(device.arena().allocate(data_bytes)) {
        for (BlockDevice* disk : disks_) {
            const BlockInfo& info = disk->info();
            require(info.block_size == 512 || info.block_size == 4096, "a block has 512 or 4096 bytes");
            require(info.capacity >= info.block_size && info.capacity % info.block_size == 0,
                    "a disk has blocks");
            require(info.max_transfer >= info.block_size && info.queue_depth > 0, "and takes requests");
            try {
                queues_.push_back(disk->open_queue(loop));
            } catch (const Error& error) {
                // It has been seen to go.
                require(error.kind() == ErrorKind::not_found, "a disk that is there can be opened");
                queues_.push_back(nullptr);
            }
        }
    }

    void run(unsigned rounds) {
        for (; rounds > 0 && !disks_.empty(); --rounds)
            run_batch();
    }

  private:
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
        if (!queues_[which])
            return;
        BlockQueue& queue = *queues_[which];
        std::array<BlockRequest, most> requests;
        std::array<std::array<DmaSpan, 3>, most> segments;
        std::array<BlockRequest*, most> batch{};
        const std::size_t count =
            std::min<std::size_t>(1 + input_.below(most), disks_[which]->info().queue_depth);
        for (std::size_t i = 0; i < count; ++i) {
            fill(requests[i], segments[i], disks_[which]->info());
            batch[i] = &requests[i];
        }
        require(queue.submit(std::span(batch).first(count)) == count, "an empty queue takes so many");
        const TimePoint limit = Clock::now() + longest_;
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
    Duration longest_;
    std::vector<BlockDevice*> disks_;
    DmaBuffer memory_;
    std::vector<std::unique_ptr<BlockQueue>> queues_;
};

/// How long things may take.
struct DriveLimits {
    Duration batch{};     ///< until every request of a batch has ended
    Duration bring_up{};  ///< and shutting down
};

/// A driver on a device from its start to its end, with options and requests that the input chooses. Errors
/// of the arena pass through.
inline void drive(Input& input, Device& device, RunLoop& loop, const DriverDescription& description,
                  const DriveLimits& limits) {
    using namespace std::chrono_literals;
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
        driver = loop.run(description.start(device, loop, options));
    } catch (const Error&) {
        require(Clock::now() - begin < limits.bring_up, "bring-up ends in time");
        return;
    }
    require(Clock::now() - begin < limits.bring_up, "bring-up ends in time");
    DiskUser(input, device, loop, *driver, limits.batch).run(rounds);
    const TimePoint end = Clock::now();
    try {
        loop.run(driver->shut_down());
    } catch (const Error&) {
        // A cache that could not be written, or a device that is gone.
        require(Clock::now() > end, "time passes");
    }
    require(Clock::now() - end < limits.bring_up, "shutting down ends in time");
}

}  // namespace outboard::fuzz
