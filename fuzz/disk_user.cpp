#include "fuzz/disk_user.hpp"

#include "outboard/base/error.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/device/device.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/lying_device.hpp"
#include "fuzz/require.hpp"
#include "fuzz/virtual_time.hpp"
#include "tests/support/model_backend.hpp"

namespace outboard::fuzz {

namespace {

using namespace std::chrono_literals;

/// What an export does with the disks, in an order that the input says.
class DiskUser {
  public:
    /// Bytes of the arena that requests use.
    static constexpr std::size_t data_bytes = 64 * 1024;

    DiskUser(Input& input, Device& device, RunLoop& loop, Driver& driver, Duration longest)
        : input_(input),
          loop_(loop),
          longest_(longest),
          disks_(driver.block_devices()),
          memory_(device.arena().allocate(data_bytes)) {
        for (BlockDevice* disk : disks_) {
            const BlockInfo& info = disk->info();
            require(info.block_size >= 512 && info.block_size <= 65536, "a block has 512 to 65536 bytes");
            require(info.capacity >= info.block_size && info.capacity % info.block_size == 0,
                    "a disk has blocks");
            require(info.max_transfer >= info.block_size && info.queue_depth > 0, "and takes requests");
            try {
                queues_.push_back(disk->open_queue(loop));
            } catch (const Error& error) {
                // It has been seen to go, or the disks before it have all queues.
                require(error.kind() == ErrorKind::not_found ||
                            (error.kind() == ErrorKind::busy && !queues_.empty()),
                        "a disk that is there can be opened");
                queues_.push_back(nullptr);
            }
        }
    }

    void run(unsigned rounds) {
        for (; rounds > 0 && !disks_.empty(); --rounds)
            run_batch();
    }

  private:
    static constexpr std::size_t most = batch_requests;
    static constexpr Duration shortest_sleep = 20us;

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
        const std::size_t unit = std::min<std::size_t>(info.block_size, 4096);
        for (unsigned left = input_.below(static_cast<unsigned>(segments.size()) + 1); left > 0; --left) {
            const std::size_t length = (1 + input_.below(4)) * (input_.flag() ? unit : 256);
            at += input_.below(4) * 2;
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
            if (left == 0)
                break;
            // Who polls sleeps a little all the same: this clock stands still otherwise, and the device with
            // it.
            const TimePoint next = std::max(queue.next_reap(Clock::now()), Clock::now() + shortest_sleep);
            loop_.turn(std::min(next, limit));
        }
    }

    Input& input_;
    RunLoop& loop_;
    Duration longest_;
    std::vector<BlockDevice*> disks_;
    DmaBuffer memory_;
    std::vector<std::unique_ptr<BlockQueue>> queues_;
};

DriverOptions choose_options(Input& input, const DriverDescription& description) {
    const auto choice = input.take<std::uint8_t>();
    DriverOptions options;
    options.command_timeout = 100ms;
    options.reset_timeout = 100ms;
    options.dma = (choice & 1) == 0;
    options.completion = (choice & 2) == 0 ? CompletionMode::interrupt : CompletionMode::poll;
    if ((choice & 4) != 0)
        options.write_cache = (choice & 8) != 0;
    if (description.makes_queues() && (choice & 16) != 0)
        options.queues = 2;
    options.report = [](std::string_view text) { require(!text.empty(), "a report says something"); };
    return options;
}

void use(Input& input, Device& device, RunLoop& loop, const DriverDescription& description,
         const DriveLimits& limits) {
    const DriverOptions options = choose_options(input, description);
    device.create_arena({.size = description.dma_bytes_for(options) + DiskUser::data_bytes,
                         .address_bits = 32,
                         .huge_pages = false});
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
        require(Clock::now() >= end, "time passes");
    }
    require(Clock::now() - end < limits.bring_up, "shutting down ends in time");
}

}  // namespace

void drive(Input& input, std::unique_ptr<Backend> honest, const std::function<bool()>& turn,
           const DriverDescription& description, const DriveLimits& limits) {
    auto owned = std::make_unique<LyingDevice>(std::move(honest), input);
    LyingDevice& lying = *owned;
    set_while_asleep([&lying, &turn] {
        const bool worked = turn();
        return lying.asleep() || worked;
    });
    {
        RunLoop loop({.entries = 16});
        Device device(std::move(owned));
        try {
            use(input, device, loop, description, limits);
        } catch (const Error&) {
            require(lying.broken(), "only a device that fails its accesses ends a driver");
        }
    }
    set_while_asleep({});
}

void drive(Input& input, std::unique_ptr<sim::PciModel> model, const DriverDescription& description,
           const DriveLimits& limits) {
    auto honest = std::make_unique<test::ModelBackend>(std::move(model));
    test::ModelBackend& backend = *honest;
    drive(input, std::move(honest), [&backend] { return backend.turn(); }, description, limits);
}

}  // namespace outboard::fuzz
