// The clock of run loops and deadlines.
#pragma once

#include <chrono>

namespace outboard {

/// CLOCK_MONOTONIC.
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

}  // namespace outboard
