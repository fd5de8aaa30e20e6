// Every wait has a deadline: around a task, or for a condition that has to be polled.
#pragma once

#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <algorithm>
#include <concepts>
#include <string_view>

namespace outboard {

namespace detail {

/// Cancels something at a point in time, unless it goes before. It does not wait for the timer's end when it
/// goes.
class DeadlineTimer {
  public:
    DeadlineTimer(RunLoop& loop, TimePoint when, Awaited& target);
    DeadlineTimer(const DeadlineTimer&) = delete;
    DeadlineTimer& operator=(const DeadlineTimer&) = delete;
    DeadlineTimer(DeadlineTimer&&) = delete;
    DeadlineTimer& operator=(DeadlineTimer&&) = delete;
    ~DeadlineTimer();

    bool fired() const noexcept;

  private:
    RunLoop& loop_;
    RunLoop::Alarm* alarm_;
};

[[noreturn]] void throw_not_finished(std::string_view what, Duration limit);
[[noreturn]] void throw_not_true(std::string_view what, Duration limit);

}  // namespace detail

/// Awaits `task`, at most for `limit`. When the time is over the task is cancelled and its end awaited; if it
/// ends with Cancelled, Error (kind timed_out) is thrown: it says `what` was not finished within `limit`. A
/// result or exception that the task still gives passes through, and so does a cancellation from outside.
///
/// `what` names the action and the device ("IDENTIFY DEVICE on 0000:00:04.0, primary master"); its text stays
/// alive until the await ends.
template <class T>
Task<T> with_deadline(RunLoop& loop, Task<T> task, Duration limit, std::string_view what) {
    const auto& self = co_await detail::CurrentPromise();
    {
        const detail::DeadlineTimer timer(loop, later(Clock::now(), limit), task.promise());
        try {
            co_return co_await std::move(task);
        } catch (const Cancelled&) {
            if (!timer.fired() || self.cancel_requested())
                throw;
        }
    }
    detail::throw_not_finished(what, limit);
}

/// Waits until `predicate()` is true: looks at once, then every `interval`, and once more when `limit` is
/// over. Throws Error (kind timed_out) if it is still false then. This is how a driver waits for a condition
/// of a register; `what` names condition and device ("BSY clear on 0000:00:04.0, primary channel") and stays
/// alive until the await ends.
template <std::predicate Predicate>
Task<void> wait_until(RunLoop& loop, Predicate predicate, Duration limit, Duration interval,
                      std::string_view what) {
    const TimePoint deadline = later(Clock::now(), limit);
    while (!predicate()) {
        const TimePoint now = Clock::now();
        if (now >= deadline)
            detail::throw_not_true(what, limit);
        co_await loop.sleep_until(std::min(later(now, interval), deadline));
    }
}

}  // namespace outboard
