#include "outboard/host/verifying_load.hpp"

#include <algorithm>

namespace outboard {

namespace {

constexpr std::size_t page_bytes = 4096;

}  // namespace

VerifyingLoad::VerifyingLoad(RunLoop& loop, BlockDevice& disk, SectorLedger& ledger, std::uint64_t seed)
    : loop_(&loop),
      ledger_(&ledger),
      pool_(disk.arena(), max_bytes, depth, page_bytes),
      queue_(disk.open_queue(loop)),
      random_(seed),
      slots_(depth),
      reaped_(depth),
      busy_(ledger.sectors()) {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        slots_[i].request.owner = &slots_[i];
        slots_[i].buffer = pool_[i];
        idle_.push_back(&slots_[i].request);
    }
    waiting_.reserve(depth);
    loop_->add_poller(*this);
}

VerifyingLoad::~VerifyingLoad() {
    loop_->remove_poller(*this);
}

TimePoint VerifyingLoad::poll(TimePoint now) noexcept {
    const std::size_t count = with_disk_ == 0 ? 0 : queue_->reap(reaped_);
    with_disk_ -= count;
    for (std::size_t i = 0; i < count; ++i)
        finish(*static_cast<Slot*>(reaped_[i]->owner));
    while (submitting_ && !idle_.empty()) {
        Slot& slot = *static_cast<Slot*>(idle_.back()->owner);
        if (!choose(slot))
            break;
        idle_.pop_back();
        start(slot);
    }
    if (!waiting_.empty()) {
        const std::size_t taken = queue_->submit(waiting_);
        with_disk_ += taken;
        waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(taken));
    }
    if (count != 0)
        return now;  // whoever turns the loop wants to look
    return with_disk_ == 0 ? TimePoint::max() : queue_->next_reap(now);
}

bool VerifyingLoad::choose(Slot& slot) noexcept {
    BlockRequest& request = slot.request;
    request.force_unit_access = false;
    slot.first = 0;
    slot.count = 0;
    const std::uint64_t choice = random_.below(64);
    if (choice == 0) {
        request.operation = BlockOperation::flush;
        slot.generation = ledger_->last_ended();
        return true;
    }
    // Mostly small: 1, 2, 4 … sectors up to the largest request.
    const std::uint64_t largest = max_bytes / ledger_->sector_size();
    std::uint64_t count = 1;
    while (count < largest && random_.below(2) == 0)
        count *= 2;
    const std::uint64_t first = random_.below(ledger_->sectors() - count + 1);
    const auto range = std::span(busy_).subspan(first, count);
    // Another try comes with the next turn.
    if (std::ranges::any_of(range, [](std::uint8_t busy) { return busy != 0; }))
        return false;
    slot.first = first;
    slot.count = count;
    request.operation = choice % 2 == 0 ? BlockOperation::read : BlockOperation::write;
    request.force_unit_access = choice == 1;
    return true;
}

void VerifyingLoad::start(Slot& slot) {
    BlockRequest& request = slot.request;
    request.offset = slot.first * ledger_->sector_size();
    request.length = slot.count * ledger_->sector_size();
    request.status = BlockStatus::pending;
    slot.segment = slot.buffer.part(0, request.length);
    request.data = {&slot.segment, request.length == 0 ? std::size_t{0} : std::size_t{1}};
    std::ranges::fill(std::span(busy_).subspan(slot.first, slot.count), std::uint8_t{1});
    if (request.operation == BlockOperation::write) {
        slot.generation = ledger_->next_generation();
        ledger_->fill(slot.first, slot.generation, slot.segment.bytes());
    } else if (request.operation == BlockOperation::read) {
        // What the device does not write must not look right.
        std::ranges::fill(slot.segment.bytes(), std::byte{0xa5});
    }
    waiting_.push_back(&request);
}

void VerifyingLoad::finish(Slot& slot) noexcept {
    const BlockRequest& request = slot.request;
    const bool good = request.status == BlockStatus::ok;
    std::ranges::fill(std::span(busy_).subspan(slot.first, slot.count), std::uint8_t{0});
    idle_.push_back(&slot.request);
    ++counts_.requests;
    counts_.failed += good ? 0 : 1;
    counts_.removed += request.status == BlockStatus::removed ? 1 : 0;
    switch (request.operation) {
        case BlockOperation::read:
            if (good)
                counts_.mismatches += ledger_->mismatches(slot.first, slot.segment.bytes());
            break;
        case BlockOperation::write:
            if (good)
                ledger_->written(slot.first, slot.count, slot.generation);
            else
                ledger_->write_failed(slot.first, slot.count, slot.generation);
            window_.push_back({.first = slot.first, .count = slot.count});
            break;
        default:
            if (good)
                ledger_->flushed(slot.generation);
            break;
    }
}

VerifyingLoad::Slot& VerifyingLoad::start_write(const Range& range, bool force_unit_access) {
    Slot& slot = *static_cast<Slot*>(idle_.back()->owner);
    idle_.pop_back();
    slot.request.operation = BlockOperation::write;
    slot.request.force_unit_access = force_unit_access;
    slot.first = range.first;
    slot.count = range.count;
    start(slot);
    return slot;
}

bool VerifyingLoad::rewrite_window(TimePoint deadline) {
    const std::uint64_t failed = counts_.failed;
    const std::vector<Range> ranges = std::exchange(window_, {});
    for (const Range& range : ranges) {
        start_write(range, false);
        if (!finish_writes(deadline))
            return false;
    }
    window_.clear();
    return counts_.failed == failed;
}

bool VerifyingLoad::write_zeroes(TimePoint deadline) {
    const std::uint64_t failed = counts_.failed;
    const std::uint64_t largest = max_bytes / ledger_->sector_size();
    for (std::uint64_t first = 0; first < ledger_->sectors(); first += largest) {
        const std::uint64_t count = std::min(largest, ledger_->sectors() - first);
        Slot& slot = start_write({.first = first, .count = count}, true);
        std::ranges::fill(slot.segment.bytes(), std::byte{0});
        slot.generation = 0;
        if (!finish_writes(deadline))
            return false;
    }
    window_.clear();
    return counts_.failed == failed;
}

bool VerifyingLoad::finish_writes(TimePoint deadline) {
    while (outstanding() != 0 && Clock::now() < deadline)
        turn(deadline);
    return outstanding() == 0;
}

}  // namespace outboard
