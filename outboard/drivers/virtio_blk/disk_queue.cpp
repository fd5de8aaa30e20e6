#include "outboard/drivers/virtio_blk/disk_queue.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <sys/eventfd.h>

namespace outboard::virtio_blk {

namespace {

using namespace std::chrono_literals;
using virtio::Taken;
using virtio::Used;

/// Deadlines are looked at so often.
Duration check_interval(Duration request_limit) {
    return std::clamp<Duration>(request_limit / 4, 1ms, 1s);
}

}  // namespace

DiskQueue::DiskQueue(virtio::Transport& transport, Attention& attention, const DiskQueueSetup& setup)
    : transport_(transport),
      attention_(attention),
      name_(setup.name),
      limits_(setup.limits),
      read_only_(setup.read_only),
      can_flush_(setup.can_flush),
      write_cache_(setup.write_cache),
      interrupts_(setup.interrupts),
      adaptive_(setup.adaptive),
      frame_stride_(table_offset + (virtio::has(transport.features(), virtio::feature::indirect_descriptors)
                                        ? virtio::Virtqueue::table_bytes(setup.limits.max_data_elements + 2)
                                        : 0)),
      ring_(transport.device().arena(), setup.index, setup.size, transport.features(),
            transport.notifier(setup.index)),
      frames_(transport.device().arena().allocate(setup.limits.depth * frame_stride_, 4096)),
      request_limit_(setup.request_limit),
      check_interval_(check_interval(setup.request_limit)),
      slots_(setup.limits.depth),
      own_event_(setup.interrupt < 0 ? ::eventfd(0, EFD_CLOEXEC) : -1),
      event_(setup.interrupt < 0 ? own_event_.get() : setup.interrupt) {
    if (event_ < 0)
        throw_errno(errno, "create", "an eventfd for a queue");
    free_.reserve(limits_.depth);
    for (std::uint16_t index = limits_.depth; index-- > 0;)
        free_.push_back(index);
    restart_ring();
}

void DiskQueue::open(RunLoop& loop) {
    watch_.emplace(loop, event_);
    listener_ = listen();
    listener_.start();
}

void DiskQueue::close() noexcept {
    if (!parking_.running())
        static_cast<void>(follow());
    leave_loop();
}

void DiskQueue::leave_loop() noexcept {
    listener_ = {};
    watch_.reset();
}

/// What it waits for wakes the loop; the loop's pollers, which call reap, do the rest. Who has nothing
/// outstanding does not call it, and a reset waits for this queue as for any other.
Task<void> DiskQueue::listen() {
    for (;;) {
        const int result = co_await watch_->next();
        if (result < 0)
            break;
        if (!parking_.running())
            static_cast<void>(follow());
    }
    expect_no_interrupt();
}

// ---- starting ----

std::size_t DiskQueue::submit(std::span<BlockRequest* const> requests) noexcept {
    bool running = parking_.running();
    if (!running) [[unlikely]]
        running = follow();
    running = running && !broken_;
    std::size_t taken = 0;
    for (BlockRequest* const request : requests) {
        if (outstanding_ == limits_.depth)
            break;
        ++outstanding_;
        ++taken;
        request->status = BlockStatus::pending;
        if (!running || !waiting_.empty() || !start(*request)) [[unlikely]]
            waiting_.push_back(*request);
    }
    if (running) [[likely]]
        ring_.publish();
    return taken;
}

/// False: the ring has no room for it now.
bool DiskQueue::start(BlockRequest& request) noexcept {
    if (needs_no_device(request)) [[unlikely]] {
        request.status = BlockStatus::ok;
        finished_.push_back(request);
        return true;
    }
    const std::uint16_t index = free_.back();
    if (const BlockStatus status = build(index, request); status != BlockStatus::ok) [[unlikely]] {
        request.status = status;
        finished_.push_back(request);
        return true;
    }
    if (!ring_.has_room(element_count_ + 1)) [[unlikely]]
        return false;
    free_.pop_back();
    Slot& slot = slots_[index];
    slot.request = &request;
    slot.deadline = {};
    slot.failed = 0;
    slot.late = 0;
    slot.interrupted = 0;
    slot.flushing = false;
    slot.timed_out = false;
    finish_elements(index);
    return true;
}

/// Sends what the request of a slot needs now: itself, once more, or the flush behind it.
BlockStatus DiskQueue::start_in(std::uint16_t index) noexcept {
    Slot& slot = slots_[index];
    slot.deadline = {};
    slot.timed_out = false;
    if (slot.flushing) {
        begin_elements(index, RequestType::flush, 0);
    } else if (const BlockStatus status = build(index, *slot.request); status != BlockStatus::ok) {
        return status;
    }
    if (!ring_.has_room(element_count_ + 1))
        return BlockStatus::device_error;
    finish_elements(index);
    return BlockStatus::ok;
}

void DiskQueue::start_waiting() noexcept {
    while (BlockRequest* const request = waiting_.pop_front()) {
        if (!start(*request)) {
            waiting_.push_front(*request);
            break;
        }
    }
    ring_.publish();
}

BlockStatus DiskQueue::check_range(const BlockRequest& request, std::uint32_t most) const noexcept {
    const std::uint64_t mask = limits_.block_size - 1;
    if (most == 0)
        return BlockStatus::not_supported;
    if (request.length == 0 || ((request.offset | request.length) & mask) != 0 ||
        request.offset > limits_.capacity || request.length > limits_.capacity - request.offset)
        return BlockStatus::out_of_range;
    return request.length <= most ? BlockStatus::ok : BlockStatus::not_supported;
}

BlockStatus DiskQueue::build(std::uint16_t index, const BlockRequest& request) noexcept {
    switch (request.operation) {
        case BlockOperation::read:
            begin_elements(index, RequestType::read, request.offset);
            return build_transfer(request);
        case BlockOperation::write:
            begin_elements(index, RequestType::write, request.offset);
            return read_only_ ? BlockStatus::not_supported : build_transfer(request);
        case BlockOperation::flush:
            begin_elements(index, RequestType::flush, 0);
            return BlockStatus::ok;
        case BlockOperation::discard:
            begin_elements(index, RequestType::discard, 0);
            return build_range(index, request, limits_.max_discard);
        case BlockOperation::write_zeroes:
            begin_elements(index, RequestType::write_zeroes, 0);
            return build_range(index, request, limits_.max_write_zeroes);
    }
    return BlockStatus::not_supported;
}

void DiskQueue::begin_elements(std::uint16_t index, RequestType type, std::uint64_t offset) noexcept {
    Frame& own = frame(index);
    own.header = {.type = static_cast<std::uint32_t>(type), .reserved = 0U, .sector = offset >> sector_shift};
    element_count_ = 0;
    append(frame_memory(index).iova, sizeof(RequestHeader), false);
}

void DiskQueue::append(std::uint64_t iova, std::uint64_t length, bool device_writes) noexcept {
    elements_[element_count_++] = {
        .iova = iova, .length = static_cast<std::uint32_t>(length), .device_writes = device_writes};
}

BlockStatus DiskQueue::build_transfer(const BlockRequest& request) noexcept {
    if (const auto status = check_range(request, limits_.max_transfer); status != BlockStatus::ok)
        return status;
    const bool device_writes = request.operation == BlockOperation::read;
    std::uint64_t left = request.length;
    for (const DmaSpan& segment : request.data) {
        if (segment.length == 0 || segment.length > left)
            return BlockStatus::not_supported;
        left -= segment.length;
        for (std::uint64_t at = 0; at < segment.length; at += limits_.max_element_bytes) {
            if (element_count_ > limits_.max_data_elements)
                return BlockStatus::not_supported;
            append(segment.iova + at, std::min<std::uint64_t>(segment.length - at, limits_.max_element_bytes),
                   device_writes);
        }
    }
    return left == 0 ? BlockStatus::ok : BlockStatus::not_supported;
}

BlockStatus DiskQueue::build_range(std::uint16_t index, const BlockRequest& request,
                                   std::uint32_t most) noexcept {
    if (read_only_)
        return BlockStatus::not_supported;
    if (const auto status = check_range(request, most); status != BlockStatus::ok)
        return status;
    frame(index).range = {.sector = request.offset >> sector_shift,
                          .sectors = static_cast<std::uint32_t>(request.length >> sector_shift),
                          .flags = 0U};
    append(frame_memory(index).iova + offsetof(Frame, range), sizeof(SectorRange), false);
    return BlockStatus::ok;
}

/// Adds the status and gives all of it to the ring, which has room.
void DiskQueue::finish_elements(std::uint16_t index) noexcept {
    std::uint32_t writable = 1;
    for (const virtio::Element& element : std::span(elements_).first(element_count_))
        writable += element.device_writes ? element.length : 0;
    slots_[index].writable = writable;
    const DmaSpan memory = frame_memory(index);
    // Whoever says that it is done has written it.
    frame(index).status = RequestStatus::unwritten;
    append(memory.iova + offsetof(Frame, status), 1, true);
    ring_.add(std::span(elements_).first(element_count_),
              memory.part(table_offset, frame_stride_ - table_offset), index);
}

// ---- finishing ----

std::size_t DiskQueue::reap(std::span<BlockRequest*> finished) noexcept {
    looking_ = adaptive_ && judge_.look();
    bool running = parking_.running();
    if (!running) [[unlikely]]
        running = follow();
    std::size_t count = finished_.empty() ? 0 : pop_finished(finished);
    if (running && !broken_) [[likely]] {
        count += consume(finished.subspan(count));
        if (!broken_ && !waiting_.empty()) [[unlikely]]
            start_waiting();
        if (count == 0 && outstanding_ != 0)
            look_at_clock();
    }
    if (!finished_.empty()) [[unlikely]]
        count += pop_finished(finished.subspan(count));
    outstanding_ -= count;
    ended_ += count;
    return count;
}

std::size_t DiskQueue::pop_finished(std::span<BlockRequest*> finished) noexcept {
    std::size_t count = 0;
    while (count < finished.size() && !finished_.empty())
        finished[count++] = finished_.pop_front();
    return count;
}

std::size_t DiskQueue::consume(std::span<BlockRequest*> finished) noexcept {
    std::size_t count = 0;
    do {
        Used used;
        Taken taken = Taken::nothing;
        while (count < finished.size() && (taken = ring_.take(used)) == Taken::one) {
            BlockRequest* const request = slots_[used.token].request;
            if (finish(used)) [[likely]]
                finished[count++] = request;
            if (broken_) [[unlikely]]
                return count;
        }
        if (taken == Taken::impossible) [[unlikely]] {
            breach("its device says of a buffer that it has used what cannot be");
            return count;
        }
        more_ = count == finished.size();
    } while (!more_ && interrupts_ && !looking_ && ring_.arm());
    // Second tries, and the flushes behind writes.
    ring_.publish();
    return count;
}

/// True when the request has ended well and is to be given back; otherwise it goes its own way.
bool DiskQueue::finish(const Used& used) noexcept {
    Slot& slot = slots_[used.token];
    // Read once.
    const RequestStatus status = std::atomic_ref(frame(used.token).status).load(std::memory_order_relaxed);
    if (status == RequestStatus::unwritten || used.length > slot.writable) [[unlikely]] {
        // The slot keeps its request: it is sent again after the reset.
        breach(status == RequestStatus::unwritten
                   ? "its device has returned a request that it has not carried out"
                   : "its device has written more than it was given room for");
        return false;
    }
    if (status != RequestStatus::ok) [[unlikely]] {
        const bool unsupported = status == RequestStatus::unsupported;
        failed(used.token, unsupported ? BlockStatus::not_supported : BlockStatus::device_error,
               unsupported ? "it is not supported" : "an I/O error");
        return false;
    }
    if (used.length < slot.writable && slot.writable != 1) [[unlikely]] {
        failed(used.token, BlockStatus::device_error, "less was read than asked for");
        return false;
    }
    BlockRequest& request = *slot.request;
    if (request.force_unit_access && write_cache_ && !slot.flushing &&
        (request.operation == BlockOperation::write || request.operation == BlockOperation::write_zeroes))
        [[unlikely]] {
        slot.flushing = true;
        slot.failed = 0;
        if (const BlockStatus flushed = start_in(used.token); flushed != BlockStatus::ok)
            give_back(used.token, flushed);
        return false;
    }
    request.status = BlockStatus::ok;
    slot.request = nullptr;
    free_.push_back(used.token);
    return true;
}

void DiskQueue::give_back(std::uint16_t index, BlockStatus status) noexcept {
    Slot& slot = slots_[index];
    BlockRequest& request = *slot.request;
    slot.request = nullptr;
    free_.push_back(index);
    request.status = status;
    finished_.push_back(request);
}

TimePoint DiskQueue::next_reap(TimePoint now) const noexcept {
    judge_.observe(now, outstanding_, ended_);
    if (!finished_.empty())
        return now;
    if (outstanding_ == 0)
        return TimePoint::max();
    if (!parking_.running())
        return parking_.parked() ? TimePoint::max() : now;
    if (!interrupts_ || more_)
        return now;
    return looking_ ? judge_.next_look(now) : std::max(now, next_check_);
}

}  // namespace outboard::virtio_blk
