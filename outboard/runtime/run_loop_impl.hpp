// The inside of a RunLoop, shared by run_loop.cpp (the ring, turning it) and operation.cpp (what is awaited
// on it).
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <cstdint>
#include <deque>
#include <exception>
#include <list>
#include <vector>

namespace outboard {

/// A timer whose end nobody has to wait for: the loop owns it until its completion has come.
class RunLoop::Alarm final : public Completion {
  public:
    Alarm(Impl& loop, TimePoint when, detail::Awaited& target) noexcept;

    void complete(int result, unsigned flags) noexcept override;

    Impl& loop;
    __kernel_timespec when;
    detail::Awaited* target;              ///< what to cancel; null when nobody wants it any more
    std::list<Alarm>::iterator position;  ///< in the loop's list
    bool fired = false;
};

/// A time since the clock's epoch, or a duration; what is negative becomes zero.
__kernel_timespec to_timespec(Duration duration) noexcept;

struct RunLoop::Impl {
    explicit Impl(const RunLoopOptions& options);
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    Impl(Impl&&) = delete;
    Impl& operator=(Impl&&) = delete;
    ~Impl();

    /// What is kept of a completion queue entry.
    struct Entry {
        std::uint64_t user_data = 0;
        int result = 0;
        unsigned flags = 0;
    };

    /// Reads the stop eventfd whenever it is written.
    struct StopWatch final : Completion {
        explicit StopWatch(Impl& owner) noexcept : loop(owner) {}
        void arm() noexcept;
        void complete(int result, unsigned flags) noexcept override;
        Impl& loop;
    };

    struct Spawned {
        Task<void> task;
        bool finished = false;
        bool cancelled = false;
    };

    io_uring_sqe* prepare(const Completion* completion) noexcept;
    /// Queues a request to cancel the operation of `completion`.
    void cancel(const Completion& completion) noexcept;
    /// The same, and waits until it has ended; its completion is not delivered. Others that come are kept for
    /// the next turn.
    void cancel_and_wait(const Completion& completion) noexcept;
    /// Drops what was kept for `completion`; true when its last entry was among it.
    bool forget_kept(const Completion& completion) noexcept;

    TimePoint run_pollers(TimePoint now) noexcept;
    void submit_and_wait(TimePoint until, TimePoint now);
    void deliver() noexcept;
    bool take_entry(Entry& entry) noexcept;
    void keep_entries() noexcept;
    /// True when io_uring_enter has something to do besides submitting: completions to make or to bring back.
    bool kernel_has_work() const noexcept;

    bool take_stop() noexcept { return std::exchange(stop_requested, false); }
    std::exception_ptr take_failure() noexcept;
    static Task<void> supervise(Impl& loop, Spawned& entry, Task<void> task);
    void remove_finished() noexcept;
    void end_spawned() noexcept;

    io_uring ring{};
    Fd stop_event;
    Fd wake_event;  ///< written by the kernel for each completion, once somebody wants to poll it
    StopWatch stop_watch{*this};
    int slack_before = 0;
    bool stop_requested = false;
    std::uint16_t next_buffer_group = 0;

    std::vector<Poller*> pollers;  ///< null: removed while they were being called
    bool calling_pollers = false;

    std::deque<Entry> kept;  ///< entries taken out of the ring but not delivered yet
    std::list<Alarm> alarms;
    std::list<Spawned> spawned;
    bool any_finished = false;
    std::deque<std::exception_ptr> failures;  ///< of spawned tasks, until run() throws them
};

}  // namespace outboard
