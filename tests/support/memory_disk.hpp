// A disk in memory, for tests of what stands on a BlockDevice. It keeps apart what a power cut would leave,
// records what it was asked, and fails where it is told to.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/device/dma_arena.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/support/fake_backend.hpp"

namespace outboard::test {

class MemoryDisk;

/// Takes at most the disk's queue depth; finishes requests when it is reaped, in order, at most
/// `finish_at_once` each time.
class MemoryQueue final : public BlockQueue {
  public:
    explicit MemoryQueue(MemoryDisk& disk) : disk_(&disk) {}
    std::size_t submit(std::span<BlockRequest* const> requests) noexcept override;
    std::size_t reap(std::span<BlockRequest*> finished) noexcept override;
    TimePoint next_reap(TimePoint now) const noexcept override {
        return taken_.empty() ? TimePoint::max() : now;
    }

  private:
    MemoryDisk* disk_;
    std::deque<BlockRequest*> taken_;
};

class MemoryDisk final : public BlockDevice {
  public:
    explicit MemoryDisk(std::uint64_t capacity = 1 << 20, std::size_t arena_bytes = 4 << 20)
        : arena_(backend_, {.size = arena_bytes, .address_bits = 32, .huge_pages = false}),
          content(capacity),
          stable(capacity) {
        information.model = "MEMORY";
        information.serial = "0";
        information.capacity = capacity;
        information.max_transfer = 128 * 1024;
        information.queue_depth = 4;
        information.volatile_write_cache = true;
        information.rotational = false;
    }

    const BlockInfo& info() const noexcept override { return information; }
    std::unique_ptr<BlockQueue> open_queue(RunLoop&) override { return std::make_unique<MemoryQueue>(*this); }
    DmaArena& arena() noexcept override { return arena_; }

    BlockStatus perform(const BlockRequest& request) {
        seen.push_back(request.operation);
        if (request.operation == BlockOperation::flush) {
            stable = content;
            return BlockStatus::ok;
        }
        if (request.offset > content.size() || request.length > content.size() - request.offset)
            return BlockStatus::out_of_range;
        if (request.operation != BlockOperation::read && request.operation != BlockOperation::write)
            return BlockStatus::not_supported;
        if (fails_at && request.offset <= *fails_at && *fails_at < request.offset + request.length)
            return BlockStatus::media_error;
        std::uint64_t at = request.offset;
        for (const DmaSpan& segment : request.data) {
            if (request.operation == BlockOperation::read)
                std::memcpy(segment.address, content.data() + at, segment.length);
            else
                std::memcpy(content.data() + at, segment.address, segment.length);
            at += segment.length;
        }
        if (request.operation == BlockOperation::write && request.force_unit_access)
            std::copy_n(content.begin() + static_cast<std::ptrdiff_t>(request.offset), request.length,
                        stable.begin() + static_cast<std::ptrdiff_t>(request.offset));
        return BlockStatus::ok;
    }

  private:
    FakeBackend backend_;
    DmaArena arena_;

  public:
    BlockInfo information;
    std::vector<std::byte> content;
    std::vector<std::byte> stable;  ///< what a power cut would leave
    std::vector<BlockOperation> seen;
    std::optional<std::uint64_t> fails_at;  ///< requests that touch this byte fail
    std::size_t finish_at_once = 64;
};

inline std::size_t MemoryQueue::submit(std::span<BlockRequest* const> requests) noexcept {
    const std::size_t room = disk_->information.queue_depth - taken_.size();
    const std::size_t count = std::min(room, requests.size());
    taken_.insert(taken_.end(), requests.begin(), requests.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
}

inline std::size_t MemoryQueue::reap(std::span<BlockRequest*> finished) noexcept {
    std::size_t count = 0;
    while (count < finished.size() && count < disk_->finish_at_once && !taken_.empty()) {
        BlockRequest* const request = taken_.front();
        taken_.pop_front();
        request->status = disk_->perform(*request);
        finished[count++] = request;
    }
    return count;
}

}  // namespace outboard::test
