#include "outboard/drivers/nvme/io_queue.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include <sys/eventfd.h>

namespace outboard::nvme {

namespace {

using namespace std::chrono_literals;

constexpr unsigned index_bits = 8;
constexpr unsigned index_mask = (1U << index_bits) - 1;
static_assert(IoQueue::largest_entries == 1U << index_bits);

/// Deadlines are looked at so often.
Duration check_interval(Duration command_limit) {
    return std::clamp<Duration>(command_limit / 4, 1ms, 1s);
}

constexpr std::uint32_t low(std::uint64_t value) {
    return static_cast<std::uint32_t>(value);
}
constexpr std::uint32_t high(std::uint64_t value) {
    return static_cast<std::uint32_t>(value >> 32);
}

/// The parts that all I/O commands have; every dword is written, as the ring holds an old entry.
void fill_common(SubmissionEntry& entry, IoOpcode opcode, std::uint16_t identifier,
                 std::uint32_t namespace_id) {
    entry.dword0 = static_cast<std::uint32_t>(opcode) | std::uint32_t{identifier} << 16;
    entry.namespace_id = namespace_id;
    entry.reserved = 0UL;
    entry.metadata = 0UL;
    entry.prp1 = 0UL;
    entry.prp2 = 0UL;
    entry.dword10 = 0U;
    entry.dword11 = 0U;
    entry.dword12 = 0U;
    entry.dword13 = 0U;
    entry.dword14 = 0U;
    entry.dword15 = 0U;
}

}  // namespace

IoQueue::IoQueue(DmaArena& arena, Attention& attention, const IoQueueSetup& setup)
    : spin_(setup.spin),
      depth_(static_cast<std::uint16_t>(setup.entries - 1)),
      slots_(largest_entries),
      attention_(attention),
      lists_(arena.allocate(depth_ * list_bytes, page_bytes)),
      registers_(setup.registers),
      command_limit_(setup.command_limit),
      check_interval_(check_interval(setup.command_limit)),
      own_event_(setup.interrupt < 0 ? ::eventfd(0, EFD_CLOEXEC) : -1),
      event_(setup.interrupt < 0 ? own_event_.get() : setup.interrupt) {
    // What docs/nvme.md says of a queue's memory outside the arena.
    static_assert(sizeof(IoQueue) + 2 * sizeof(QueuePair) + largest_entries * sizeof(Slot) <= 10 << 10);
    static_assert(dma_bytes == 552 << 10);
    if (event_ < 0)
        throw_errno(errno, "create", "an eventfd for an I/O queue");
    pairs_.reserve(setup.pairs.size());
    for (const QueuePairSetup& pair : setup.pairs)
        pairs_.emplace_back(arena, pair, setup.entries);
    for (std::uint16_t index = depth_; index-- > 0;) {
        slots_[index].identifier = index;
        free_[free_count_++] = index;
    }
}

void IoQueue::open(RunLoop& loop, const Target& target) {
    target_ = &target;
    watch_.emplace(loop, event_);
    listener_ = listen();
    listener_.start();
}

void IoQueue::close() noexcept {
    if (!parking_.running())
        static_cast<void>(follow());
    leave_loop();
    target_ = nullptr;
}

void IoQueue::leave_loop() noexcept {
    listener_ = {};
    watch_.reset();
}

/// What it waits for wakes the loop; the loop's pollers, which call reap, do the rest.
Task<void> IoQueue::listen() {
    for (;;) {
        const int result = co_await watch_->next();
        if (result < 0)
            break;
    }
    expect_no_interrupt();
}

// ---- starting ----

BlockStatus IoQueue::check_range(const BlockRequest& request, std::uint32_t most) const noexcept {
    const std::uint64_t mask = (std::uint64_t{1} << target_->block_shift) - 1;
    if (most == 0)
        return BlockStatus::not_supported;
    if (request.length == 0 || ((request.offset | request.length) & mask) != 0 ||
        request.offset > target_->capacity || request.length > target_->capacity - request.offset)
        return BlockStatus::out_of_range;
    return request.length <= most ? BlockStatus::ok : BlockStatus::not_supported;
}

/// Read or Write; every dword is written, as the ring holds an old entry.
[[gnu::always_inline]] inline void IoQueue::put_transfer(SubmissionEntry& entry, std::uint16_t identifier,
                                                         const BlockRequest& request,
                                                         const DataPointer& data) const noexcept {
    const bool write = request.operation == BlockOperation::write;
    const unsigned shift = target_->block_shift;
    const std::uint64_t block = request.offset >> shift;
    entry.dword0 = static_cast<std::uint32_t>(write ? IoOpcode::write : IoOpcode::read) |
                   std::uint32_t{identifier} << 16;
    entry.namespace_id = target_->namespace_id;
    entry.reserved = 0UL;
    entry.metadata = 0UL;
    entry.prp1 = data.prp1;
    entry.prp2 = data.prp2;
    entry.dword10 = low(block);
    entry.dword11 = high(block);
    std::uint32_t dword12 = low((request.length >> shift) - 1);
    if (write && request.force_unit_access) [[unlikely]]
        dword12 |= force_unit_access_bit;
    entry.dword12 = dword12;
    entry.dword13 = 0U;
    entry.dword14 = 0U;
    entry.dword15 = 0U;
}

BlockStatus IoQueue::fill_transfer(SubmissionEntry& entry, std::uint16_t index,
                                   const BlockRequest& request) noexcept {
    if (const auto status = check_range(request, target_->max_transfer); status != BlockStatus::ok)
        return status;
    const auto data =
        make_prps(request.data, request.length,
                  {.entries = {list(index), list_bytes / sizeof(Le64)}, .iova = list_iova(index)});
    if (!data)
        return BlockStatus::not_supported;
    put_transfer(entry, slots_[index].identifier, request, *data);
    return BlockStatus::ok;
}

/// What most requests are, a read or write of one segment of one or two pages, in line in submit. False:
/// nothing was done, start knows the rest.
[[gnu::always_inline]] inline bool IoQueue::start_short(QueuePair& pair, BlockRequest& request) noexcept {
    const Target& target = *target_;
    DataPointer data;
    if (request.operation > BlockOperation::write || request.length - 1 >= target.max_short_transfer ||
        ((request.offset | request.length) & target.block_mask) != 0 || request.offset >= target.capacity ||
        request.length > target.capacity - request.offset ||
        !make_short_prps(request.data, request.length, data)) [[unlikely]]
        return false;
    const std::uint16_t index = free_[free_count_ - 1U];
    put_transfer(pair.submission.next(), slots_[index].identifier, request, data);
    occupy(pair, index, request);
    return true;
}

/// The command in the ring's next entry is that of a slot that was free.
[[gnu::always_inline]] inline void IoQueue::occupy(QueuePair& pair, std::uint16_t index,
                                                   BlockRequest& request) noexcept {
    --free_count_;
    Slot& slot = slots_[index];
    slot.request = &request;
    slot.success = Ending::success(pair.id, slot.identifier);
    slot.pair = active_;
    pair.submission.push();
    ++pair.in_flight;
    pair.unrung = true;
}

void IoQueue::start(QueuePair& pair, BlockRequest& request) noexcept {
    const std::uint16_t index = free_[free_count_ - 1U];
    const BlockStatus status = fill(pair.submission.next(), index, request);
    if (status != BlockStatus::ok) {
        request.status = status;
        finished_.push_back(request);
        return;
    }
    occupy(pair, index, request);
}

std::size_t IoQueue::submit(std::span<BlockRequest* const> requests) noexcept {
    bool running = parking_.running();
    if (!running) [[unlikely]]
        running = follow();
    active_ = pairs_.size() > 1 && judge_.look() ? 1 : 0;
    QueuePair& pair = pairs_[active_];
    const std::size_t taken = std::min(requests.size(), depth_ - outstanding_);
    outstanding_ += taken;
    for (BlockRequest* const request : requests.first(taken)) {
        request->status = BlockStatus::pending;
        if (!running) [[unlikely]]
            waiting_.push_back(*request);
        else if (!start_short(pair, *request)) [[unlikely]]
            start(pair, *request);
    }
    pair.ring_submissions();
    return taken;
}

/// Sends the request of a slot once more, under a new identifier.
bool IoQueue::start_in(std::uint16_t index) noexcept {
    Slot& slot = slots_[index];
    slot.identifier = static_cast<std::uint16_t>(slot.identifier + (1U << index_bits));
    slot.deadline = {};
    slot.aborting = false;
    slot.timed_out = false;
    QueuePair& pair = pair_of(slot);
    slot.success = Ending::success(pair.id, slot.identifier);
    if (fill(pair.submission.next(), index, *slot.request) != BlockStatus::ok)
        return false;
    pair.submission.push();
    pair.unrung = true;
    return true;
}

void IoQueue::start_waiting() noexcept {
    while (BlockRequest* const request = waiting_.pop_front())
        start(pairs_[active_], *request);
}

void IoQueue::ring_submissions() noexcept {
    for (QueuePair& pair : pairs_)
        pair.ring_submissions();
}

BlockStatus IoQueue::fill(SubmissionEntry& entry, std::uint16_t index, const BlockRequest& request) noexcept {
    const std::uint16_t identifier = slots_[index].identifier;
    const unsigned shift = target_->block_shift;
    switch (request.operation) {
        case BlockOperation::read:
        case BlockOperation::write:
            return fill_transfer(entry, index, request);
        case BlockOperation::flush:
            fill_common(entry, IoOpcode::flush, identifier, target_->namespace_id);
            return BlockStatus::ok;
        case BlockOperation::discard: {
            if (const auto status = check_range(request, target_->max_discard); status != BlockStatus::ok)
                return status;
            // The list's memory holds the one range.
            auto* const range = reinterpret_cast<DatasetRange*>(list(index));
            *range = {
                .attributes = 0U, .blocks = low(request.length >> shift), .first = request.offset >> shift};
            fill_common(entry, IoOpcode::dataset_management, identifier, target_->namespace_id);
            entry.prp1 = list_iova(index);
            entry.dword11 = deallocate_bit;
            return BlockStatus::ok;
        }
        case BlockOperation::write_zeroes: {
            if (const auto status = check_range(request, target_->max_write_zeroes);
                status != BlockStatus::ok)
                return status;
            fill_common(entry, IoOpcode::write_zeroes, identifier, target_->namespace_id);
            entry.dword10 = low(request.offset >> shift);
            entry.dword11 = high(request.offset >> shift);
            entry.dword12 =
                low((request.length >> shift) - 1) | (request.force_unit_access ? force_unit_access_bit : 0);
            return BlockStatus::ok;
        }
    }
    return BlockStatus::not_supported;
}

// ---- finishing ----

// What every completion takes, in line in reap.

[[gnu::always_inline]] inline BlockRequest& IoQueue::release(QueuePair& pair, std::uint16_t index) noexcept {
    Slot& slot = slots_[index];
    BlockRequest& request = *slot.request;
    --pair.in_flight;
    slot = {.identifier = static_cast<std::uint16_t>(slot.identifier + (1U << index_bits))};
    free_[free_count_++] = index;
    return request;
}

[[gnu::always_inline]] inline std::size_t IoQueue::consume(QueuePair& pair,
                                                           std::span<BlockRequest*> finished) noexcept {
    std::size_t count = 0;
    bool any = false;
    Ending ending;
    while (count < finished.size() && pair.completion.take(ending)) {
        any = true;
        const auto index = static_cast<std::uint16_t>(ending.identifier() & index_mask);
        const Slot& slot = slots_[index];
        // All that is asked of a good completion in two comparisons: the command is outstanding, of this
        // queue, and has ended well; the head lies inside.
        if (ending.outcome() != slot.success || ending.submission_queue() != pair.id ||
            ending.submission_head() >= pair.submission.size()) [[unlikely]] {
            if (!unusual(pair, ending))
                break;
            continue;
        }
        BlockRequest& request = release(pair, index);
        request.status = BlockStatus::ok;
        finished[count++] = &request;
    }
    // Once for all of them: until then their places are not written again.
    if (any) {
        pair.completion.ring();
        pair.ring_submissions();  // second tries
    }
    return count;
}

[[gnu::always_inline]] inline std::size_t IoQueue::consume(std::span<BlockRequest*> finished) noexcept {
    std::size_t count = 0;
    for (QueuePair& pair : pairs_)
        count += consume(pair, finished.subspan(count));
    more_ = count == finished.size();
    return count;
}

std::size_t IoQueue::reap(std::span<BlockRequest*> finished) noexcept {
    bool running = parking_.running();
    if (!running) [[unlikely]]
        running = follow();
    std::size_t count = finished_.empty() ? 0 : pop_finished(finished);
    if (running) [[likely]] {
        count += consume(finished.subspan(count));
        if (count == 0 && outstanding_ != 0)
            look_at_clock();
    }
    if (!finished_.empty()) [[unlikely]]
        count += pop_finished(finished.subspan(count));
    outstanding_ -= count;
    ended_ += count;
    return count;
}

std::size_t IoQueue::pop_finished(std::span<BlockRequest*> finished) noexcept {
    std::size_t count = 0;
    while (count < finished.size() && !finished_.empty())
        finished[count++] = finished_.pop_front();
    return count;
}

void IoQueue::absorb() noexcept {
    if (!target_ || !parking_.running())
        return;
    std::array<BlockRequest*, 64> taken{};
    std::size_t count = 0;
    do {
        count = consume(taken);
        for (BlockRequest* const request : std::span(taken).first(count))
            finished_.push_back(*request);
    } while (count == taken.size());
}

/// A completion that is not simply good. False: it cannot be.
bool IoQueue::unusual(QueuePair& pair, const Ending& ending) noexcept {
    if (!is_outstanding(pair, ending)) {
        breach(ending);
        return false;
    }
    const auto index = static_cast<std::uint16_t>(ending.identifier() & index_mask);
    if (ending.status().ok())
        give_back(index, BlockStatus::ok);
    else
        failed(index, ending.status());
    return true;
}

bool IoQueue::is_outstanding(const QueuePair& pair, const Ending& ending) const noexcept {
    const std::uint16_t identifier = ending.identifier();
    const Slot& slot = slots_[identifier & index_mask];
    return slot.request && slot.identifier == identifier && &pairs_[slot.pair] == &pair &&
           ending.submission_queue() == pair.id && ending.submission_head() < pair.submission.size();
}

void IoQueue::give_back(std::uint16_t index, BlockStatus status) noexcept {
    BlockRequest& request = release(pair_of(slots_[index]), index);
    request.status = status;
    finished_.push_back(request);
}

TimePoint IoQueue::next_reap(TimePoint now) const noexcept {
    judge_.observe(now, outstanding_, ended_);
    if (!finished_.empty())
        return now;
    if (outstanding_ == 0)
        return TimePoint::max();
    if (!parking_.running())
        return parking_.parked() ? TimePoint::max() : now;
    if (more_ || spin_)
        return now;
    for (const QueuePair& pair : pairs_)
        if (pair.in_flight != 0 && !pair.interrupts)
            return judge_.next_look(now);
    return std::max(now, next_check_);
}

}  // namespace outboard::nvme
