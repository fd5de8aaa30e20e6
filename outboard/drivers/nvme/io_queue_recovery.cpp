// What follows when something goes wrong on a queue: another try, an abort, a reset by the controller.
#include "outboard/drivers/nvme/io_queue.hpp"

#include <array>
#include <chrono>
#include <string_view>

#include <fmt/format.h>
#include <sys/eventfd.h>

namespace outboard::nvme {

namespace {

constexpr std::array<std::string_view, 5> operation_names{"read", "write", "flush", "discard",
                                                          "write zeroes"};

long milliseconds(Duration duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

std::string IoQueue::describe(const BlockRequest& request) const {
    const std::string_view name = operation_names[static_cast<std::size_t>(request.operation)];
    if (request.operation == BlockOperation::flush)
        return std::string(name);
    return fmt::format("{} of {} blocks at LBA {}", name, request.length >> target_->block_shift,
                       request.offset >> target_->block_shift);
}

void IoQueue::failed(std::uint16_t index, Status status) noexcept {
    Slot& slot = slots_[index];
    const bool timed_out = slot.aborting && status.type_and_code() == status::abort_requested;
    // What a flush could not write may be gone from the cache: a second one would succeed without it.
    const bool flush = slot.request->operation == BlockOperation::flush;
    const bool again = timed_out ? slot.late + 1U < attempts_timed_out
                                 : slot.failed + 1U < attempts && worth_retrying(status) && !flush;
    attention_.tell_made([&] {
        return fmt::format("{}: {} failed: {}{}", target_->name, describe(*slot.request),
                           nvme::describe(status), again ? "; it is tried again" : "");
    });
    if (again) {
        ++(timed_out ? slot.late : slot.failed);
        if (start_in(index))
            return;
    }
    give_back(index, timed_out ? BlockStatus::timed_out : block_status(status));
}

void IoQueue::breach(const Ending& ending) noexcept {
    attention_.tell_made([&] {
        return fmt::format(
            "{}: its controller completed what was not asked for (identifier {:#06x}, "
            "submission queue {}, head {}): it is reset",
            target_->name, ending.identifier(), ending.submission_queue(), ending.submission_head());
    });
    want_reset();
}

void IoQueue::want_reset() noexcept {
    reset_wanted_.store(true, std::memory_order_release);
    attention_.wake();
}

void IoQueue::look_at_clock() noexcept {
    // Where it is polled, the clock costs more than a look.
    constexpr unsigned looks_per_clock = 64;
    if (!pairs_[active_].interrupts && ++empty_looks_ % looks_per_clock != 0)
        return;
    const TimePoint now = Clock::now();
    if (now >= next_check_)
        check(now);
}

/// Deadlines begin with the first check after a command was sent, so that sending needs no clock.
void IoQueue::check(TimePoint now) noexcept {
    next_check_ = now + check_interval_;
    const auto status = registers_.read<ControllerStatus>();
    if (all_ones(status) || status[ControllerStatus::fatal]) {
        want_reset();
        return;
    }
    for (std::uint16_t index = 0; index < depth_; ++index) {
        if (slots_[index].request)
            check_deadline(index, now);
    }
}

void IoQueue::check_deadline(std::uint16_t index, TimePoint now) noexcept {
    Slot& slot = slots_[index];
    if (slot.deadline == TimePoint{}) {
        slot.deadline = later(now, command_limit_);
        return;
    }
    if (now < slot.deadline)
        return;
    if (!slot.aborting) {
        attention_.tell_made([&] {
            return fmt::format("{}: {} was not finished after {} ms: it is aborted", target_->name,
                               describe(*slot.request), milliseconds(command_limit_));
        });
        slot.aborting = true;
        slot.deadline = later(now, command_limit_ / 2);
        // One at a time; the controller may take no more. Whoever finds no room is reset in the end.
        std::uint32_t none = no_abort;
        const std::uint32_t wish = std::uint32_t{pair_of(slot).id} << 16 | slot.identifier;
        abort_wanted_.compare_exchange_strong(none, wish, std::memory_order_acq_rel);
        attention_.wake();
    } else if (!slot.timed_out) {
        slot.timed_out = true;
        attention_.tell_made([&] {
            return fmt::format("{}: {} could not be aborted", target_->name, describe(*slot.request));
        });
        want_reset();
    }
}

/// Takes the next step of what the controller's thread has begun. True: the queue is running.
bool IoQueue::follow() noexcept {
    switch (parking_.follow()) {
        case Parking::Duty::tell:
            attention_.wake();
            break;
        case Parking::Duty::restart:
            restart_requests();
            return true;
        case Parking::Duty::end:
            lose_requests();
            break;
        case Parking::Duty::none:
            break;
    }
    return false;
}

void IoQueue::restart_requests() noexcept {
    more_ = false;
    for (std::uint16_t index = 0; index < depth_; ++index) {
        Slot& slot = slots_[index];
        if (!slot.request)
            continue;
        const bool timed_out = slot.timed_out || slot.aborting;
        const unsigned tries = ++(timed_out ? slot.late : slot.interrupted);
        if (tries >= (timed_out ? attempts_timed_out : attempts_interrupted))
            give_back(index, timed_out ? BlockStatus::timed_out : BlockStatus::device_error);
        else if (!start_in(index))
            give_back(index, BlockStatus::device_error);
    }
    start_waiting();
    ring_submissions();
}

void IoQueue::lose_requests() noexcept {
    for (std::uint16_t index = 0; index < depth_; ++index) {
        if (slots_[index].request)
            give_back(index, BlockStatus::removed);
    }
    while (BlockRequest* const request = waiting_.pop_front()) {
        request->status = BlockStatus::removed;
        finished_.push_back(*request);
    }
}

// ---- the controller's thread ----

void IoQueue::stop(bool is_open) noexcept {
    parking_.stop(is_open);
    wake();
}

bool IoQueue::keep_pairs(unsigned most) noexcept {
    if (pairs_.front().id > most)
        return false;
    if (pairs_.back().id > most) {
        pairs_.front().in_flight += pairs_.back().in_flight;
        pairs_.pop_back();
        active_ = 0;
        for (Slot& slot : slots_)
            slot.pair = 0;
    }
    return true;
}

void IoQueue::expect_no_interrupt() noexcept {
    for (QueuePair& pair : pairs_)
        pair.interrupts = false;
}

void IoQueue::resume() noexcept {
    // What was asked for before is done with.
    abort_wanted_.store(no_abort, std::memory_order_relaxed);
    reset_wanted_.store(false, std::memory_order_relaxed);
    parking_.resume();
    wake();
}

void IoQueue::lose() noexcept {
    parking_.lose();
    wake();
}

std::optional<AbortWish> IoQueue::take_abort() noexcept {
    const std::uint32_t wanted = abort_wanted_.exchange(no_abort, std::memory_order_acq_rel);
    if (wanted == no_abort)
        return std::nullopt;
    return AbortWish{.submission_queue = static_cast<std::uint16_t>(wanted >> 16),
                     .identifier = static_cast<std::uint16_t>(wanted)};
}

void IoQueue::wake() noexcept {
    ::eventfd_write(event_, 1);
}

}  // namespace outboard::nvme
