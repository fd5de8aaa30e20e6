#include "outboard/runtime/run_loop.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/ring.hpp"
#include "outboard/runtime/ring_stock.hpp"
#include "outboard/runtime/run_loop_impl.hpp"
#include "outboard/runtime/thread_sanitizer.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace outboard {

namespace {

constexpr std::chrono::seconds longest_end(5);  ///< what spawned tasks get to end when their loop goes

/// io_uring cannot be used any more, or was used against its rules (from another thread): nothing can be
/// waited for, and memory that the kernel may still write to cannot be given back.
[[noreturn]] void give_up(const char* action, int error) noexcept {
    std::fprintf(stderr, "outboard: run loop: %s: %s\n", action, std::strerror(error));
    std::abort();
}

/// Sets the counter of a non-blocking eventfd back; true when it was not zero.
bool drain(const Fd& event) noexcept {
    std::uint64_t count = 0;
    return ::read(event.get(), &count, sizeof count) == sizeof count;
}

void add_one(const Fd& event) noexcept {
    const std::uint64_t one = 1;
    // It fails only when the counter is full: then it is readable, which is all that is wanted.
    static_cast<void>(::write(event.get(), &one, sizeof one));
}

bool passes(int error) noexcept {
    return error == EINTR || error == EAGAIN || error == EBUSY || error == ETIME;
}

}  // namespace

__kernel_timespec to_timespec(Duration duration) noexcept {
    const auto nanoseconds =
        std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count(), 0);
    __kernel_timespec spec{};
    spec.tv_sec = nanoseconds / 1'000'000'000;
    spec.tv_nsec = nanoseconds % 1'000'000'000;
    return spec;
}

// ---- the ring ----

RunLoop::Impl::Impl(const RunLoopOptions& options) : stop_event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!stop_event)
        throw_errno(errno, "create", "an eventfd for the run loop");
    // A ring of a stock is enabled here, by the thread that is its only one from now on.
    ring = options.stock != nullptr ? options.stock->take() : detail::make_ring(options.entries, false);
    ring_memory_taken();
    // Saves looking the descriptor up in each call; when the thread's table is full it works without.
    static_cast<void>(io_uring_register_ring_fd(&ring));
    if (options.stock != nullptr)
        if (const int result = detail::enable_ring(ring); result < 0) {
            io_uring_queue_exit(&ring);
            throw_errno(-result, "enable", "an io_uring made ahead");
        }
    slack_before = ::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    stop_watch.arm();
}

RunLoop::Impl::~Impl() {
    ring_memory_given_back();  // before it is: the next owner may be quick
    io_uring_queue_exit(&ring);
    if (slack_before > 0)
        ::prctl(PR_SET_TIMERSLACK, slack_before, 0, 0, 0);
}

void RunLoop::Impl::StopWatch::arm() noexcept {
    // A multishot poll, not a read: nothing of ours is written to when the ring goes.
    io_uring_prep_poll_multishot(loop.prepare(this), loop.stop_event.get(), POLLIN);
}

void RunLoop::Impl::StopWatch::complete(int, unsigned flags) noexcept {
    if (drain(loop.stop_event))
        loop.stop_requested = true;
    if ((flags & IORING_CQE_F_MORE) == 0)
        arm();
}

io_uring_sqe* RunLoop::Impl::prepare(const Completion* completion) noexcept {
    io_uring_sqe* sqe = nullptr;
    while ((sqe = io_uring_get_sqe(&ring)) == nullptr) {
        const int result = io_uring_submit(&ring);
        if (result < 0) {
            if (!passes(-result))
                give_up("cannot submit", -result);
            keep_entries();  // the kernel wants room for completions first
        }
    }
    std::memset(sqe, 0, 128);
    sqe->user_data = reinterpret_cast<std::uintptr_t>(completion);
    return sqe;
}

void RunLoop::Impl::cancel(const Completion& completion) noexcept {
    io_uring_sqe* sqe = prepare(nullptr);
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = -1;
    sqe->addr = reinterpret_cast<std::uintptr_t>(&completion);
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
}

bool RunLoop::Impl::forget_kept(const Completion& completion) noexcept {
    bool last = false;
    std::erase_if(kept, [&](const Entry& entry) {
        if (entry.user_data != reinterpret_cast<std::uintptr_t>(&completion))
            return false;
        last = last || (entry.flags & IORING_CQE_F_MORE) == 0;
        return true;
    });
    return last;
}

void RunLoop::Impl::cancel_and_wait(const Completion& completion) noexcept {
    if (forget_kept(completion))
        return;
    cancel(completion);
    for (;;) {
        const int result = io_uring_submit_and_wait(&ring, 1);
        if (result < 0 && !passes(-result))
            give_up("cannot wait for a cancelled operation", -result);
        for (Entry entry; take_entry(entry);) {
            if (entry.user_data != reinterpret_cast<std::uintptr_t>(&completion))
                kept.push_back(entry);
            else if ((entry.flags & IORING_CQE_F_MORE) == 0)
                return;
        }
    }
}

bool RunLoop::Impl::take_entry(Entry& entry) noexcept {
    unsigned head = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring, head, cqe) {
        entry = {cqe->user_data, cqe->res, cqe->flags};
        io_uring_cq_advance(&ring, 1);
        return true;
    }
    return false;
}

void RunLoop::Impl::keep_entries() noexcept {
    static_cast<void>(io_uring_get_events(&ring));
    for (Entry entry; take_entry(entry);)
        kept.push_back(entry);
}

bool RunLoop::Impl::kernel_has_work() const noexcept {
    const unsigned flags = std::atomic_ref(*ring.sq.kflags).load(std::memory_order_relaxed);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

// ---- a turn ----

TimePoint RunLoop::Impl::run_pollers(TimePoint now) noexcept {
    TimePoint next = TimePoint::max();
    calling_pollers = true;
    for (std::size_t i = 0; i < pollers.size(); ++i) {  // by index: a poller may add or remove some
        if (pollers[i])
            next = std::min(next, pollers[i]->poll(now));
    }
    calling_pollers = false;
    std::erase(pollers, nullptr);
    return next;
}

void RunLoop::Impl::submit_and_wait(TimePoint until, TimePoint now) {
    int result = 0;
    if (until <= now || !kept.empty() || io_uring_cq_ready(&ring) > 0) {
        if (io_uring_sq_ready(&ring) == 0 && !kernel_has_work())
            return;
        result = io_uring_submit_and_get_events(&ring);
    } else {
        io_uring_cqe* first = nullptr;
        __kernel_timespec timeout = to_timespec(until - now);
        result = io_uring_submit_and_wait_timeout(&ring, &first, 1,
                                                  until == TimePoint::max() ? nullptr : &timeout, nullptr);
    }
    if (result < 0 && !passes(-result))
        throw_errno(-result, "wait for", "the run loop's io_uring");
}

void RunLoop::Impl::deliver() noexcept {
    const auto dispatch = [](const Entry& entry) {
        if (entry.user_data != 0)
            reinterpret_cast<Completion*>(entry.user_data)->complete(entry.result, entry.flags);
    };
    // No more than what is there now: completions that beget completions must not keep the pollers waiting.
    for (std::size_t count = kept.size(); count > 0 && !kept.empty(); --count) {
        const Entry entry = kept.front();
        kept.pop_front();
        dispatch(entry);
    }
    Entry entry;
    for (unsigned count = io_uring_cq_ready(&ring); count > 0 && take_entry(entry); --count)
        dispatch(entry);
}

TimePoint RunLoop::turn(TimePoint deadline) {
    TimePoint now = Clock::now();
    const bool embedded = impl_->wake_event && deadline <= now;
    if (embedded)
        drain(impl_->wake_event);  // before looking: what comes later makes it readable again
    const TimePoint wanted = impl_->run_pollers(now);
    const TimePoint until = std::min(wanted, deadline);
    if (until > now && until != TimePoint::max())
        now = Clock::now();
    impl_->submit_and_wait(until, now);
    impl_->deliver();
    impl_->remove_finished();
    if (embedded) {
        // What the completions prepared, and what they left for the next turn, which may be long in coming.
        impl_->submit_and_wait(now, now);
        if (!impl_->kept.empty())
            add_one(impl_->wake_event);
    }
    return wanted;
}

// ---- turning it ----

RunLoop::RunLoop(const RunLoopOptions& options) : impl_(std::make_unique<Impl>(options)) {}

RunLoop::~RunLoop() {
    impl_->end_spawned();
    const TimePoint deadline = Clock::now() + longest_end;
    while (!impl_->spawned.empty() && Clock::now() < deadline) {
        try {
            turn(deadline);
        } catch (const Error& error) {
            give_up(error.what(), 0);
        }
        impl_->end_spawned();
    }
    impl_->spawned.clear();
    while (const std::exception_ptr failure = impl_->take_failure()) {
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "outboard: while a run loop ended: %s\n", error.what());
        } catch (...) {
            std::fprintf(stderr, "outboard: while a run loop ended: a task failed\n");
        }
    }
}

void RunLoop::run() {
    while (!impl_->take_stop()) {
        if (const std::exception_ptr failure = impl_->take_failure())
            std::rethrow_exception(failure);
        turn();
    }
}

void RunLoop::run_until_finished(detail::PromiseBase& promise) {
    std::exception_ptr failure;
    while (!promise.finished()) {
        if (impl_->take_stop())
            promise.cancel();
        if (!failure) {
            failure = impl_->take_failure();
            if (failure)
                promise.cancel();
        }
        turn();
    }
    if (failure)
        std::rethrow_exception(failure);
}

void RunLoop::stop() noexcept {
    const int error = errno;  // a signal handler must leave it alone
    add_one(impl_->stop_event);
    errno = error;
}

int RunLoop::event_fd() {
    if (!impl_->wake_event) {
        Fd event(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));  // readable: there may be something already
        const int error = event ? -io_uring_register_eventfd(&impl_->ring, event.get()) : errno;
        if (error != 0)
            throw_errno(error, "create", "an eventfd for the completions of the run loop");
        impl_->wake_event = std::move(event);
    }
    return impl_->wake_event.get();
}

io_uring_sqe* RunLoop::prepare(Completion& completion) noexcept {
    return impl_->prepare(&completion);
}

// ---- pollers and spawned tasks ----

void RunLoop::add_poller(Poller& poller) {
    impl_->pollers.push_back(&poller);
}

void RunLoop::remove_poller(Poller& poller) noexcept {
    if (impl_->calling_pollers)
        std::ranges::replace(impl_->pollers, &poller, nullptr);
    else
        std::erase(impl_->pollers, &poller);
}

Task<void> RunLoop::Impl::supervise(Impl& loop, Spawned& entry, Task<void> task) {
    try {
        co_await std::move(task);
    } catch (const Cancelled&) {  // NOLINT(bugprone-empty-catch): it was asked to end
    } catch (...) {
        loop.failures.push_back(std::current_exception());
    }
    entry.finished = true;
    loop.any_finished = true;
}

void RunLoop::spawn(Task<void> task) {
    Impl::Spawned& entry = impl_->spawned.emplace_back();
    entry.task = Impl::supervise(*impl_, entry, std::move(task));
    entry.task.start();
}

void RunLoop::Impl::remove_finished() noexcept {
    if (std::exchange(any_finished, false))
        spawned.remove_if([](const Spawned& entry) { return entry.finished; });
}

std::exception_ptr RunLoop::Impl::take_failure() noexcept {
    if (failures.empty())
        return nullptr;
    const std::exception_ptr failure = failures.front();
    failures.pop_front();
    return failure;
}

void RunLoop::Impl::end_spawned() noexcept {
    remove_finished();
    for (Spawned& entry : spawned) {
        if (!std::exchange(entry.cancelled, true))
            entry.task.cancel();
    }
}

}  // namespace outboard
