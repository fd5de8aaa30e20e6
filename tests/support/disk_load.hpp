// What the suites of the disk drivers share, wherever they run: a device under our driver for a while, and a
// load that checks what it reads.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/classes/driver.hpp"
#include "outboard/device/device.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/block_pattern.hpp"
#include "tests/support/disk_place.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace outboard::test {

/// A device under our driver for a while. What its place complains of is a failure.
class Ours {
  public:
    static constexpr std::size_t memory_size = 48U << 20;

    Ours() : Ours(std::shared_ptr(make_disk_place())) {}
    explicit Ours(const std::shared_ptr<DiskPlace>& place) : Ours(place, place->options()) {}
    Ours(std::shared_ptr<DiskPlace> place, DriverOptions options) : place_(std::move(place)) {
        const DriverDescription& driver = place_->driver();
        options.report = [this](std::string_view text) {
            told.emplace_back(text);
            if (on_told)
                on_told(text);
        };
        device_ = place_->open();
        device_->create_arena(
            {.size = driver.dma_bytes_for(options) + memory_size, .address_bits = driver.dma_address_bits});
        memory_ = device_->arena().allocate(memory_size, 4096);
        driver_ = loop.run(driver.start(*device_, loop, std::move(options)));
    }
    Ours(const Ours&) = delete;
    Ours& operator=(const Ours&) = delete;
    Ours(Ours&&) = delete;
    Ours& operator=(Ours&&) = delete;
    ~Ours() {
        queue.reset();
        try {
            if (!shut_down_)
                shut_down();
        } catch (const std::exception& error) {
            if (!may_fail)
                ADD_FAILURE() << error.what();
        }
        memory_ = {};
        driver_.reset();
        device_.reset();
        EXPECT_EQ(place_->complaints(), "");
    }

    std::vector<BlockDevice*> disks() { return driver_->block_devices(); }
    BlockDevice& disk(std::size_t index = 0) { return *disks().at(index); }
    BlockDevice& disk(std::string_view serial) {
        for (BlockDevice* disk : disks()) {
            if (disk->info().serial == serial)
                return *disk;
        }
        throw std::runtime_error(fmt::format("no disk has the serial number {}", serial));
    }
    /// Opens `queue`, one of this disk.
    void open(BlockDevice& disk) {
        queue.reset();
        queue = disk.open_queue(loop);
        info_ = &disk.info();
    }
    void open(std::size_t index = 0) { open(disk(index)); }
    void open(std::string_view serial) { open(disk(serial)); }
    /// Of the disk that was opened last.
    const BlockInfo& info() const { return *info_; }
    DmaSpan memory(std::size_t offset, std::size_t size) const { return memory_.span().part(offset, size); }

    /// Submits the requests, as many as there is room for at a time, and waits for all.
    void run(std::span<BlockRequest* const> requests) {
        std::vector<BlockRequest*> finished(requests.size());
        const TimePoint limit = Clock::now() + std::chrono::seconds(120);
        std::size_t left = requests.size();
        while (left > 0) {
            requests = requests.subspan(queue->submit(requests));
            const std::size_t count = queue->reap(finished);
            left -= count;
            if (Clock::now() > limit)
                throw std::runtime_error("requests were lost");
            if (left > 0 && count == 0)
                loop.turn(std::min(queue->next_reap(Clock::now()), limit));
        }
    }
    BlockStatus run(BlockOperation operation, std::uint64_t offset, std::uint64_t length,
                    std::span<const DmaSpan> data, bool fua = false) {
        BlockRequest request;
        request.operation = operation;
        request.offset = offset;
        request.length = length;
        request.force_unit_access = fua;
        request.data = data;
        BlockRequest* const one = &request;
        run({&one, 1});
        return request.status;
    }
    BlockStatus run(BlockOperation operation, std::uint64_t offset, const DmaSpan& data, bool fua = false) {
        return run(operation, offset, data.length, {&data, data.length > 0 ? 1U : 0U}, fua);
    }

    /// Submits a request and waits until a reset that comes meanwhile is over, and its queue about to send
    /// again what was under way: the queue's next reap does.
    void submit_until_restarted(BlockRequest& request) {
        BlockRequest* one = &request;
        const TimePoint limit = Clock::now() + std::chrono::seconds(20);
        queue->submit({&one, 1});
        while (queue->next_reap(Clock::now()) != TimePoint::max() && Clock::now() < limit) {
            EXPECT_EQ(queue->reap({&one, 1}), 0U);
            loop.turn(std::min(queue->next_reap(Clock::now()), limit));
        }
        while (queue->next_reap(Clock::now()) == TimePoint::max() && Clock::now() < limit)
            loop.turn(limit);
    }
    /// Waits for one that was submitted.
    BlockStatus finish() {
        BlockRequest* one = nullptr;
        const TimePoint limit = Clock::now() + std::chrono::seconds(20);
        while (queue->reap({&one, 1}) == 0 && Clock::now() < limit)
            loop.turn(std::min(queue->next_reap(Clock::now()), limit));
        return one ? one->status : BlockStatus::pending;
    }
    /// Now, instead of at the end. The driver can do nothing afterwards.
    void shut_down() {
        shut_down_ = true;
        queue.reset();
        loop.run(driver_->shut_down());
    }

    /// What the device says of itself, or nothing.
    std::optional<DiskHealth> health() { return loop.run(driver_->read_health()); }

    const std::string& name() const { return device_->name(); }
    std::chrono::milliseconds load_time() const { return place_->load_time(); }

    std::vector<std::string> told;
    std::function<void(std::string_view)> on_told;
    RunLoop loop;
    std::unique_ptr<BlockQueue> queue;
    bool may_fail = false;  ///< the device does not survive the test

  private:
    std::shared_ptr<DiskPlace> place_;
    std::unique_ptr<Device> device_;
    DmaBuffer memory_;
    std::unique_ptr<Driver> driver_;
    const BlockInfo* info_ = nullptr;
    bool shut_down_ = false;
};

/// Random reads and writes of random sizes in a window of the disk that is open, for a time and until there
/// were enough. Every read is compared with what was written last.
class VerifyingLoad {
  public:
    struct Plan {
        std::uint64_t offset = 0;  ///< of the window
        std::uint64_t size = 0;
        std::size_t largest = std::size_t{256} << 10;  ///< bytes of a request, where the disk takes as many
        unsigned depth = 1;
        unsigned least = 50;  ///< reads, and writes
    };

    VerifyingLoad(Ours& ours, const Plan& plan)
        : ours_(ours),
          plan_(plan),
          block_(ours.info().block_size),
          alignment_(ours.info().segment_alignment),
          boundary_(ours.info().segment_boundary),
          max_segments_(ours.info().max_segments),
          largest_(std::min<std::size_t>(ours.info().max_transfer, plan.largest)),
          versions_(plan.size / block_),
          random_(plan.depth) {}

    void run() {
        clear_window();
        slots_.resize(plan_.depth);
        for (std::size_t i = 0; i < slots_.size(); ++i)
            slots_[i].memory = ours_.memory(i * stride(), stride());
        const TimePoint end = Clock::now() + ours_.load_time();
        const TimePoint limit = end + std::chrono::seconds(60);
        std::vector<BlockRequest*> finished(plan_.depth);
        std::size_t outstanding = 0;
        const auto goes_on = [&] {
            return Clock::now() < end || reads < plan_.least || writes < plan_.least;
        };
        while (outstanding > 0 || !waiting_.empty() || goes_on()) {
            for (Slot& slot : slots_) {
                if (!slot.busy && goes_on() && prepare(slot))
                    waiting_.push_back(&slot.request);
            }
            const std::size_t taken = ours_.queue->submit(waiting_);
            outstanding += taken;
            waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(taken));
            const std::size_t count = ours_.queue->reap(finished);
            outstanding -= count;
            for (BlockRequest* request : std::span(finished).first(count))
                check(*static_cast<Slot*>(request->owner));
            if (::testing::Test::HasFailure())
                return;
            ASSERT_LT(Clock::now(), limit) << "requests were lost";
            if (count == 0)
                ours_.loop.turn(std::min(ours_.queue->next_reap(Clock::now()), limit));
        }
    }
    /// Reads the whole window and compares it.
    void check_all() {
        for (std::uint64_t at = 0; at < plan_.size; at += largest_) {
            const DmaSpan data = ours_.memory(0, std::min<std::uint64_t>(largest_, plan_.size - at));
            ASSERT_EQ(ours_.run(BlockOperation::read, plan_.offset + at, data), BlockStatus::ok);
            compare(data.bytes(), at);
        }
    }
    const Plan& plan() const { return plan_; }
    /// Bytes of the largest request.
    std::size_t largest() const { return largest_; }
    /// Compares bytes of the disk, read by whomever, from `at` in the window on.
    void compare(std::span<const std::byte> data, std::uint64_t at) const {
        for (std::uint64_t i = 0; i < data.size() / block_; ++i)
            ASSERT_TRUE(block_is(data.subspan(i * block_, block_), (plan_.offset + at) / block_ + i,
                                 versions_[at / block_ + i]))
                << "block " << (plan_.offset + at) / block_ + i << " differs";
    }

    unsigned reads = 0;
    unsigned writes = 0;

  private:
    struct Slot {
        BlockRequest request;
        DmaSpan memory;
        std::array<DmaSpan, 3> segments;
        DmaSpan data;             ///< in one piece where its segments are, in their order
        std::uint64_t first = 0;  ///< block in the window
        std::uint64_t count = 0;
        bool busy = false;
    };

    /// Bytes of memory for a request: room for an offset in the first page.
    std::size_t stride() const { return largest_ + 4096; }
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    void clear_window() {
        for (std::uint64_t at = 0; at < plan_.size; at += largest_) {
            const DmaSpan data = ours_.memory(0, std::min<std::uint64_t>(largest_, plan_.size - at));
            std::memset(data.address, 0, data.length);
            ASSERT_EQ(ours_.run(BlockOperation::write, plan_.offset + at, data), BlockStatus::ok);
        }
    }

    bool collides(std::uint64_t first, std::uint64_t count) const {
        return std::ranges::any_of(slots_, [&](const Slot& slot) {
            return slot.busy && first < slot.first + slot.count && slot.first < first + count;
        });
    }

    /// A request that touches nothing that is on its way: what it reads is then known.
    bool prepare(Slot& slot) {
        slot.request = {};
        slot.request.owner = &slot;
        if (below(100) == 0) {
            slot.request.operation = BlockOperation::flush;
            slot.count = 0;
            slot.busy = true;
            return true;
        }
        // Half of the requests continue the one before, so that neighbours meet in the queue.
        const std::uint64_t most = largest_ / block_;
        slot.count = 1 + below(below(2) == 0 ? std::min<std::uint64_t>(8, most) : most);
        slot.first = below(2) == 0 ? next_ : below(versions_.size());
        if (slot.first + slot.count > versions_.size())
            slot.first = versions_.size() - slot.count;
        next_ = slot.first + slot.count;
        if (collides(slot.first, slot.count))
            return false;
        slot.busy = true;
        const bool write = below(2) == 0;
        slot.request.operation = write ? BlockOperation::write : BlockOperation::read;
        slot.request.force_unit_access = write && below(50) == 0;
        slot.request.offset = plan_.offset + slot.first * block_;
        slot.request.length = slot.count * block_;
        cut(slot);
        for (std::uint64_t i = 0; write && i < slot.count; ++i)
            fill_block(slot.data.bytes().subspan(i * block_, block_), plan_.offset / block_ + slot.first + i,
                       ++versions_[slot.first + i]);
        return true;
    }

    /// One to three segments that begin and end wherever the disk allows it.
    void cut(Slot& slot) {
        const std::size_t length = slot.count * block_;
        const std::size_t offset = alignment_ * below(4096 / alignment_);
        slot.data = slot.memory.part(offset, length);
        std::size_t from = 0;
        std::size_t segments = 0;
        while (segments < 2 && segments + 1 < max_segments_ && below(2) == 0) {
            const std::size_t size = piece(offset + from, length - from);
            if (from + size >= length)
                break;
            slot.segments[segments++] = slot.data.part(from, size);
            from += size;
        }
        slot.segments[segments++] = slot.data.part(from, length - from);
        slot.request.data = std::span(slot.segments).first(segments);
    }

    /// Bytes of a segment that begins at `offset`, with `left` to go.
    std::size_t piece(std::size_t offset, std::size_t left) {
        if (boundary_ == 1)
            return alignment_ * (1 + below(left / (2 * std::uint64_t{alignment_})));
        return boundary_ - offset % boundary_ + boundary_ * below(3);
    }

    void check(Slot& slot) {
        slot.busy = false;
        ASSERT_EQ(slot.request.status, BlockStatus::ok)
            << to_string(slot.request.status) << " at " << slot.request.offset << " of "
            << slot.request.length;
        if (slot.request.operation == BlockOperation::read) {
            ++reads;
            compare(slot.data.bytes(), slot.first * block_);
        } else {
            ++writes;
        }
    }

    Ours& ours_;
    Plan plan_;
    std::size_t block_;
    std::uint32_t alignment_;
    std::uint32_t boundary_;
    std::uint32_t max_segments_;
    std::size_t largest_;
    std::vector<std::uint32_t> versions_;
    std::mt19937_64 random_;
    std::vector<Slot> slots_;
    std::uint64_t next_ = 0;
    std::vector<BlockRequest*> waiting_;
};

}  // namespace outboard::test
