// Time that passes only when a driver waits, so that its deadlines cost nothing and a wait without one is
// seen.
//
// A target that is linked with virtual_time.cpp has no other: std::chrono::steady_clock is this clock, and
// the run loop's io_uring is one of memory, without a kernel behind it. It knows the operations that the
// project's run loops use: timeouts at a point in time, reads and polls of eventfds, cancelling.
#pragma once

#include "outboard/runtime/clock.hpp"

#include <functional>

namespace outboard::fuzz {

/// What happens elsewhere while a run loop sleeps: called before each sleep; true when it has done something
/// that may wake the loop, which then does not sleep yet. Empty: nothing.
void set_while_asleep(std::function<bool()> happens);

/// Sets the clock back to its beginning. No run loop may live.
void reset_time() noexcept;

/// Lets time pass.
void pass_time(Duration duration) noexcept;

}  // namespace outboard::fuzz
