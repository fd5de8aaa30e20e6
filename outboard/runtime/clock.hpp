// The clock of run loops and deadlines.
#pragma once

#include <chrono>

namespace outboard {

/// CLOCK_MONOTONIC.
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

/// `start` + `duration`, or TimePoint::max() when that is beyond it. `start` is not before the clock's epoch.
constexpr TimePoint later(TimePoint start, Duration duration) noexcept {
    return duration > TimePoint::max() - start ? TimePoint::max() : start + duration;
}

}  // namespace outboard
