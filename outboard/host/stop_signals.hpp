// SIGINT, SIGTERM and SIGHUP (the terminal is gone) as events of a run loop.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

namespace outboard {

/// While it lives these signals are blocked in the thread that made it (and in threads that this one
/// starts) and are taken from here. Make it before any other thread.
class StopSignals {
  public:
    /// Throws Error.
    StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;
    StopSignals(StopSignals&&) = delete;
    StopSignals& operator=(StopSignals&&) = delete;
    ~StopSignals();

    /// Waits for the next one and takes it.
    Task<void> next(RunLoop& loop);
    /// The same, for a thread without a loop.
    void wait();
    /// Takes one that has come already; false when there is none.
    bool take() noexcept;

  private:
    Fd file_;
};

}  // namespace outboard
