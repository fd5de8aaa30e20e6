// One io_uring per thread: interrupts, ublk commands, timers, sockets and stop all arrive as completions of
// one ring. One system call waits for everything and submits everything. Pollers run before it sleeps.
#pragma once

#include "outboard/runtime/clock.hpp"
#include "outboard/runtime/task.hpp"

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <liburing.h>

namespace outboard {

/// What a completion queue entry is delivered to: its address is the entry's user_data. The owner keeps it
/// alive until the last entry of its operation (the one without IORING_CQE_F_MORE) has come.
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
    /// Does what there is to do and returns when it wants to be called next if nothing else happens: a time
    /// not after `now` asks for the next turn at once, TimePoint::max() leaves it to events.
    virtual TimePoint poll(TimePoint now) noexcept = 0;

  protected:
    ~Poller() = default;
};

class RingStock;

struct RunLoopOptions {
    unsigned entries = 256;  ///< size of the submission queue; the completion queue is four times that
    /// Where the ring comes from instead, with the size and the restrictions that it has; it outlives the
    /// loop's constructor. event_fd() and operations that the stock does not name are not to be had then.
    RingStock* stock = nullptr;
};

namespace detail {
class DeadlineTimer;
}
class EventWatch;
class ProvidedBuffers;

/// Made, used and destroyed by one thread; only stop() may be called from others. Several may live in one
/// process, also in one thread. It installs no signal handler and has no global state. While it lives its
/// thread's timer slack is 1 ns (PR_SET_TIMERSLACK): pollers and timers wake when they asked to, not up to 50
/// us later.
///
/// Needs Linux 6.1 (IORING_SETUP_DEFER_TASKRUN): completions are made on this thread, in turn(), and
/// interrupt nothing.
class RunLoop {
  public:
    /// Throws Error (kind unsupported) naming what the kernel's io_uring lacks, or that it is disabled.
    explicit RunLoop(const RunLoopOptions& options = {});
    /// Cancels spawned tasks and turns until they have ended, at most 5 s; then destroys what is left of
    /// them.
    ~RunLoop();
    RunLoop(const RunLoop&) = delete;
    RunLoop& operator=(const RunLoop&) = delete;
    RunLoop(RunLoop&&) = delete;
    RunLoop& operator=(RunLoop&&) = delete;

    // ---- turning it ----

    /// Turns until stop() is called; returns at once when it was called since the last run. Rethrows what a
    /// spawned task threw.
    void run();
    /// Turns until the task is done and returns its result, or throws what it threw. stop() cancels the task,
    /// and so does a spawned task that throws: its exception is thrown here once `task` has ended.
    template <class T>
    T run(Task<T> task);
    /// One turn: pollers, then submit, then wait (not beyond `deadline`) and deliver what came. It makes no
    /// system call when there is nothing to submit, no completion is pending in the kernel and a poller wants
    /// no sleep.
    ///
    /// For programs with a loop of their own: pass a time in the past when event_fd() is readable, after
    /// operations were prepared or tasks started, and at the time that the last turn returned: the latest at
    /// which the pollers want to be called again (max() when they leave it to events). Such a turn leaves
    /// nothing unsubmitted behind.
    TimePoint turn(TimePoint deadline = TimePoint::max());
    /// Makes run() return. Any thread, and async-signal-safe.
    void stop() noexcept;
    /// Becomes readable when completions wait; for other people's event loops, which call turn() with a time
    /// in the past then and read nothing themselves. Not the ring's own descriptor: with deferred task work
    /// poll(2) is not woken by that one. Made by the first call, which throws Error when it cannot be; the
    /// loop owns it.
    int event_fd();

    /// Starts a task that the loop owns; at destruction unfinished ones are cancelled and awaited. What it
    /// throws is thrown by run(); Cancelled is not an error.
    void spawn(Task<void> task);

    // ---- pollers ----

    /// Adds a poller that lives until it is removed. Both may be called by a poller or a completion.
    void add_poller(Poller& poller);
    void remove_poller(Poller& poller) noexcept;

    // ---- data path ----

    /// A submission entry, zeroed, whose completion goes to `completion`. Submits what is queued when the
    /// ring is full. The entry has 128 bytes, room for 80 bytes of command. Never fails.
    io_uring_sqe* prepare(Completion& completion) noexcept;

    // ---- control path: to be awaited in a Task on this loop ----
    // Each gives the result of its io_uring operation: a count, or a negative errno value. A cancelled task's
    // await throws Cancelled. Buffers stay alive until the await ends.

    class Operation;

    /// Whatever `fill(io_uring_sqe*)` makes of the entry; it is called at once, with 128 zeroed bytes. One
    /// completion: no multishot operations. user_data is the loop's.
    template <std::invocable<io_uring_sqe*> Fill>
    Operation submit(Fill fill);
    /// Until a point in time; the result is 0.
    Operation sleep_until(TimePoint when);
    Operation sleep_for(Duration duration);
    /// The next time an eventfd fires: the result is 8, and `count` the value read. The eventfd must not have
    /// been made with EFD_NONBLOCK: the result would be -EAGAIN at once.
    Operation event(int eventfd, std::uint64_t& count);
    Operation read(int fd, std::span<std::byte> buffer);
    /// Like write(2) it raises SIGPIPE on a pipe or socket that nobody reads any more.
    Operation write(int fd, std::span<const std::byte> buffer);
    /// poll(2) events on a descriptor; the result is the events that are there.
    Operation poll(int fd, unsigned events);

  private:
    friend class detail::DeadlineTimer;
    friend class EventWatch;
    friend class ProvidedBuffers;
    struct Impl;
    class Alarm;

    void run_until_finished(detail::PromiseBase& promise);

    std::unique_ptr<Impl> impl_;
};

/// One io_uring operation, to be awaited once: it starts with the await. When it is destroyed while it is
/// going on it is cancelled and its end awaited.
class [[nodiscard]] RunLoop::Operation final : private Completion, private detail::Awaited {
  public:
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    Operation(Operation&&) = delete;
    Operation& operator=(Operation&&) = delete;
    ~Operation();

    bool await_ready() const noexcept { return false; }
    template <std::derived_from<detail::PromiseBase> Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiter) noexcept {
        return start(waiter, waiter.promise());
    }
    int await_resume();

  private:
    friend class RunLoop;

    explicit Operation(RunLoop& loop) noexcept : loop_(loop.impl_.get()) {}
    /// Until a point in time.
    Operation(RunLoop& loop, TimePoint when) noexcept;
    template <std::invocable<io_uring_sqe*> Fill>
    Operation(RunLoop& loop, Fill& fill) : Operation(loop) {
        fill(entry());
    }

    bool start(std::coroutine_handle<> waiter, detail::PromiseBase& promise) noexcept;
    void complete(int result, unsigned flags) noexcept override;
    void cancel() noexcept override;

    io_uring_sqe* entry() noexcept { return reinterpret_cast<io_uring_sqe*>(entry_.data()); }

    Impl* loop_;
    alignas(io_uring_sqe) std::array<std::byte, 128> entry_{};  ///< the submission entry, until it is started
    __kernel_timespec when_{};
    std::coroutine_handle<> waiter_;
    detail::PromiseBase* promise_ = nullptr;
    int result_ = 0;
    bool timer_ = false;
    bool in_flight_ = false;
    bool cancelling_ = false;
    bool cancelled_ = false;
};

template <class T>
T RunLoop::run(Task<T> task) {
    task.start();
    run_until_finished(task.promise());
    return task.take_result();
}

template <std::invocable<io_uring_sqe*> Fill>
RunLoop::Operation RunLoop::submit(Fill fill) {
    return Operation(*this, fill);
}

}  // namespace outboard
