// One io_uring per thread: interrupts, ublk commands, timers, sockets and stop all arrive as completions of one ring.
// One system call waits for everything and submits everything. Pollers run before it sleeps.
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <coroutine>
#include <memory>
#include <span>
#include <vector>

#include <liburing.h>

#include "outboard/base/fd.hpp"
#include "outboard/runtime/task.hpp"

namespace outboard {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

/// What a completion queue entry is delivered to: its address is the entry's user_data. The owner keeps it alive until
/// the last entry of its operation (the one without IORING_CQE_F_MORE) has come.
class Completion {
  public:
    /// Called on the loop's thread with the entry's res and flags. It may submit; it must not turn the loop.
    virtual void complete(int result, unsigned flags) noexcept = 0;

  protected:
    ~Completion() = default;
};

/// Looks for work that no completion announces. Called once per turn of the loop, before it sleeps.
class Poller {
  public:
    /// Does what there is to do and returns when it wants to be called next if nothing else happens: a time not after
    /// `now` asks for the next turn at once, TimePoint::max() leaves it to events.
    virtual TimePoint poll(TimePoint now) noexcept = 0;

  protected:
    ~Poller() = default;
};

struct RunLoopOptions {
    unsigned entries = 256;  ///< size of the submission queue; the completion queue is four times that
};

/// Made, used and destroyed by one thread; only stop() may be called from others. Several may live in one process. It
/// installs no signal handler and has no global state.
class RunLoop {
  public:
    /// Throws Error (kind unsupported) naming what the kernel's io_uring lacks, or that it is disabled.
    explicit RunLoop(const RunLoopOptions& options = {});
    ~RunLoop();
    RunLoop(const RunLoop&) = delete;
    RunLoop& operator=(const RunLoop&) = delete;
    RunLoop(RunLoop&&) = delete;
    RunLoop& operator=(RunLoop&&) = delete;

    // ---- turning it ----

    /// Turns until stop() is called. Rethrows what a spawned task threw.
    void run();
    /// Turns until the task is done and returns its result, or throws what it threw.
    template <class T>
    T run(Task<T> task);
    /// One turn: pollers, then submit, then wait (not beyond `deadline`) and deliver what came. For programs with a
    /// loop of their own: pass a time in the past when ring_fd() was readable.
    void turn(TimePoint deadline = TimePoint::max());
    /// Makes run() return. Any thread, and async-signal-safe.
    void stop() noexcept;
    /// Becomes readable when completions wait; for other people's event loops.
    int ring_fd() const noexcept;

    /// Starts a task that the loop owns; at destruction unfinished ones are cancelled and awaited.
    void spawn(Task<void> task);

    // ---- pollers ----

    void add_poller(Poller& poller);
    void remove_poller(Poller& poller) noexcept;

    // ---- data path ----

    /// A submission entry, zeroed, whose completion goes to `completion`. Submits what is queued when the ring is full.
    /// The entry has 128 bytes, room for 80 bytes of command. Never fails.
    io_uring_sqe* prepare(Completion& completion) noexcept;

    // ---- control path: to be awaited in a Task on this loop ----
    // Each gives the result of its io_uring operation: a count, or a negative errno value. A cancelled task's await
    // throws Cancelled.

    class Operation;

    /// Whatever `fill(io_uring_sqe*)` makes of the entry.
    template <std::invocable<io_uring_sqe*> Fill>
    Operation submit(Fill fill);
    /// Until a point in time.
    Operation sleep_until(TimePoint when);
    Operation sleep_for(Duration duration);
    /// The next time an eventfd fires: the result is 8, and `count` the value read.
    Operation event(int eventfd, std::uint64_t& count);
    Operation read(int fd, std::span<std::byte> buffer);
    Operation write(int fd, std::span<const std::byte> buffer);
    /// poll(2) events on a descriptor; the result is the events that are there.
    Operation poll(int fd, unsigned events);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace outboard
