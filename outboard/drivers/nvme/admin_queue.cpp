#include "outboard/drivers/nvme/admin_queue.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

namespace outboard::nvme {

namespace {

using namespace std::chrono_literals;

// Admin commands take microseconds to seconds: the first looks come quickly, later ones at growing distances.
constexpr Duration first_interval = 20us;
constexpr Duration longest_interval = 2ms;

}  // namespace

AdminQueue::AdminQueue(RunLoop& loop, DmaArena& arena, const Doorbell& tail, const Doorbell& head,
                       std::string name)
    : loop_(loop),
      name_(std::move(name)),
      submission_memory_(arena.allocate(entries * sizeof(SubmissionEntry), 4096)),
      completion_memory_(arena.allocate(entries * sizeof(CompletionEntry), 4096)),
      submission_(submission_memory_.span(), entries, tail),
      completion_(completion_memory_.span(), entries, head) {}

void AdminQueue::restart() noexcept {
    submission_.restart({});
    completion_.restart({});
    slots_.fill({});
    event_.reset();
}

void AdminQueue::submit(SubmissionEntry command, std::uint16_t slot) noexcept {
    command.dword0 = command.dword0 | std::uint32_t{slot} << 16;
    slots_[slot] = {.state = SlotState::sent, .abandoned = false, .result = {}};
    submission_.next() = command;
    submission_.push();
    submission_.ring();
}

std::optional<std::uint16_t> AdminQueue::free_slot() const noexcept {
    for (std::uint16_t slot = 0; slot < commands; ++slot) {
        if (slots_[slot].state == SlotState::free)
            return slot;
    }
    return std::nullopt;
}

Task<AdminResult> AdminQueue::send(SubmissionEntry command, Duration limit, std::string_view what) {
    const std::optional<std::uint16_t> found = free_slot();
    if (!found)
        throw outboard::Error({.kind = ErrorKind::io,
                               .action = fmt::format("send {} to", what),
                               .subject = name_,
                               .cause = "too many admin commands were never answered",
                               .remedy = {}});
    Slot& slot = slots_[*found];
    submit(command, *found);
    // Whoever stops waiting leaves the slot to the completion that may still come.
    struct Waiting {
        Slot& slot;
        explicit Waiting(Slot& waited_for) noexcept : slot(waited_for) {}
        Waiting(const Waiting&) = delete;
        Waiting& operator=(const Waiting&) = delete;
        Waiting(Waiting&&) = delete;
        Waiting& operator=(Waiting&&) = delete;
        ~Waiting() {
            if (slot.state == SlotState::done)
                slot.state = SlotState::free;
            else
                slot.abandoned = true;
        }
    };
    const Waiting waiting(slot);
    const TimePoint deadline = later(Clock::now(), limit);
    Duration interval = first_interval;
    for (;;) {
        look();
        if (slot.state == SlotState::done)
            co_return slot.result;
        const TimePoint now = Clock::now();
        if (now >= deadline)
            break;
        co_await loop_.sleep_until(std::min(later(now, interval), deadline));
        interval = std::min(2 * interval, longest_interval);
    }
    throw outboard::Error(
        {.kind = ErrorKind::timed_out,
         .action = fmt::format("finish {} on", what),
         .subject = name_,
         .cause = fmt::format("the controller did not answer within {} ms",
                              std::chrono::duration_cast<std::chrono::milliseconds>(limit).count()),
         .remedy = {}});
}

Task<std::uint32_t> AdminQueue::run(SubmissionEntry command, Duration limit, std::string_view what) {
    Task<AdminResult> sending = send(command, limit, what);
    const AdminResult result = co_await std::move(sending);
    if (!result.status.ok())
        throw outboard::Error({.kind = ErrorKind::io,
                               .action = fmt::format("run {} on", what),
                               .subject = name_,
                               .cause = describe(result.status),
                               .remedy = {}});
    co_return result.result;
}

void AdminQueue::request_event() noexcept {
    if (slots_[event_slot].state == SlotState::free)
        submit(asynchronous_event_request(), event_slot);
}

std::optional<std::uint32_t> AdminQueue::take_event() noexcept {
    return std::exchange(event_, std::nullopt);
}

bool AdminQueue::look() noexcept {
    bool any = false;
    Ending ending;
    // No more than a ring's worth: a controller that completes faster than it can be looked at lies.
    for (std::uint32_t i = 0; i < entries && completion_.take(ending); ++i) {
        any = true;
        const std::uint16_t identifier = ending.identifier();
        // What nobody waits for is passed over; the command that it should have been for times out.
        if (ending.submission_queue() != 0 || identifier >= slots_.size() ||
            slots_[identifier].state != SlotState::sent)
            continue;
        Slot& slot = slots_[identifier];
        slot.result = {.status = ending.status(), .result = completion_.last_result()};
        if (identifier == event_slot) {
            slot.state = SlotState::free;
            if (slot.result.status.ok())
                event_ = slot.result.result;
        } else {
            slot.state = slot.abandoned ? SlotState::free : SlotState::done;
        }
    }
    if (any)
        completion_.ring();
    return any;
}

}  // namespace outboard::nvme
