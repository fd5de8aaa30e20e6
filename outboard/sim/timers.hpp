// What a model does later.
#pragma once

#include "outboard/runtime/clock.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

namespace outboard::sim {

/// Actions at points in time, run by the thread that serves the device, not early and in order. A reset
/// cancels all. One thread.
class Timers {
  public:
    /// Names a timer; never used twice.
    using Id = std::uint64_t;

    /// Runs `action` once when `delay` is over.
    Id after(Duration delay, std::function<void()> action) {
        return at(Clock::now() + delay, std::move(action));
    }
    Id at(TimePoint when, std::function<void()> action);
    /// Does nothing when it has run already.
    void cancel(Id id) noexcept;

    // ---- for the server ----

    /// When the next one is due; max() when there is none.
    TimePoint next() const noexcept { return due_.empty() ? TimePoint::max() : due_.begin()->first.first; }
    /// Runs those that are due, also those that these start.
    void run(TimePoint now);
    void clear() noexcept { due_.clear(); }

  private:
    std::map<std::pair<TimePoint, Id>, std::function<void()>> due_;
    Id last_ = 0;
};

}  // namespace outboard::sim
