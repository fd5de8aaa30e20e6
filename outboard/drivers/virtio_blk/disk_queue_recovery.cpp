// What follows when something goes wrong on a queue: another try, or a reset by the driver.
#include "outboard/drivers/virtio_blk/disk_queue.hpp"

#include <array>
#include <chrono>
#include <string_view>

#include <fmt/format.h>
#include <sys/eventfd.h>

namespace outboard::virtio_blk {

namespace {

constexpr std::array<std::string_view, 5> operation_names{"read", "write", "flush", "discard",
                                                          "write zeroes"};

long milliseconds(Duration duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

std::string DiskQueue::describe(const Slot& slot) const {
    const BlockRequest& request = *slot.request;
    const std::string_view name = operation_names[static_cast<std::size_t>(request.operation)];
    if (request.operation == BlockOperation::flush)
        return std::string(name);
    return fmt::format("{}{} of {} sectors at sector {}", slot.flushing ? "flush behind " : "", name,
                       request.length >> sector_shift, request.offset >> sector_shift);
}

void DiskQueue::failed(std::uint16_t index, BlockStatus status, const char* why) noexcept {
    Slot& slot = slots_[index];
    // What a flush could not write may be gone from the cache: a second one would succeed without it.
    const bool flush = slot.flushing || slot.request->operation == BlockOperation::flush;
    const bool again = slot.failed + 1U < attempts && status == BlockStatus::device_error && !flush;
    attention_.tell_made([&] {
        return fmt::format("{}: {} failed: {}{}", name_, describe(slot), why,
                           again ? "; it is tried again" : "");
    });
    if (again) {
        ++slot.failed;
        if (start_in(index) == BlockStatus::ok)
            return;
    }
    // The device does not say more than that it was an error; of a read or write it is the medium's.
    const bool moves_data = !flush && (slot.request->operation == BlockOperation::read ||
                                       slot.request->operation == BlockOperation::write);
    give_back(index, status == BlockStatus::device_error && moves_data ? BlockStatus::media_error : status);
}

void DiskQueue::breach(const char* what) noexcept {
    broken_ = true;
    attention_.tell_made([&] { return fmt::format("{}: {}: it is reset", name_, what); });
    want_reset();
}

void DiskQueue::want_reset() noexcept {
    reset_wanted_.store(true, std::memory_order_release);
    attention_.wake();
}

void DiskQueue::look_at_clock() noexcept {
    // Where it is polled, the clock costs more than a look.
    constexpr unsigned looks_per_clock = 64;
    if ((!interrupts_ || looking_) && ++empty_looks_ % looks_per_clock != 0)
        return;
    const TimePoint now = Clock::now();
    if (now >= next_check_)
        check(now);
}

/// Deadlines begin with the first check after a request was sent, so that sending needs no clock.
void DiskQueue::check(TimePoint now) noexcept {
    next_check_ = now + check_interval_;
    const auto status = transport_.status();
    if (all_ones(status) || status[virtio::DeviceStatus::needs_reset]) {
        want_reset();
        return;
    }
    for (std::uint16_t index = 0; index < limits_.depth; ++index) {
        if (slots_[index].request)
            check_deadline(index, now);
    }
}

/// A request cannot be taken back from the device but by a reset.
void DiskQueue::check_deadline(std::uint16_t index, TimePoint now) noexcept {
    Slot& slot = slots_[index];
    if (slot.deadline == TimePoint{}) {
        slot.deadline = later(now, request_limit_);
        return;
    }
    if (now < slot.deadline || slot.timed_out)
        return;
    slot.timed_out = true;
    attention_.tell_made([&] {
        return fmt::format("{}: {} was not finished after {} ms", name_, describe(slot),
                           milliseconds(request_limit_));
    });
    want_reset();
}

/// Takes the next step of what the driver's thread has begun. True: the queue is running.
bool DiskQueue::follow() noexcept {
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

void DiskQueue::restart_requests() noexcept {
    more_ = false;
    broken_ = false;
    for (std::uint16_t index = 0; index < limits_.depth; ++index) {
        Slot& slot = slots_[index];
        if (!slot.request)
            continue;
        const bool timed_out = slot.timed_out;
        slot.flushing =
            false;  // the data goes with the flush once more: a reset may have cost the disk its cache
        const unsigned tries = ++(timed_out ? slot.late : slot.interrupted);
        if (tries >= (timed_out ? attempts_timed_out : attempts_interrupted))
            give_back(index, timed_out ? BlockStatus::timed_out : BlockStatus::device_error);
        else if (const BlockStatus status = start_in(index); status != BlockStatus::ok)
            give_back(index, status);
    }
    start_waiting();
}

void DiskQueue::lose_requests() noexcept {
    for (std::uint16_t index = 0; index < limits_.depth; ++index) {
        if (slots_[index].request)
            give_back(index, BlockStatus::removed);
    }
    while (BlockRequest* const request = waiting_.pop_front()) {
        request->status = BlockStatus::removed;
        finished_.push_back(*request);
    }
}

// ---- the driver's thread ----

void DiskQueue::stop(bool is_open) noexcept {
    parking_.stop(is_open);
    wake();
}

void DiskQueue::resume() noexcept {
    // What was asked for before is done with.
    reset_wanted_.store(false, std::memory_order_relaxed);
    parking_.resume();
    wake();
}

void DiskQueue::lose() noexcept {
    parking_.lose();
    wake();
}

void DiskQueue::wake() noexcept {
    ::eventfd_write(event_, 1);
}

}  // namespace outboard::virtio_blk
