// What is awaited on a run loop: operations, and the alarms behind deadlines.
#include "outboard/runtime/deadline.hpp"
#include "outboard/runtime/run_loop_impl.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace outboard {

namespace {

void prepare_timeout(io_uring_sqe* sqe, const __kernel_timespec& when) noexcept {
    sqe->opcode = IORING_OP_TIMEOUT;
    sqe->fd = -1;
    sqe->addr = reinterpret_cast<std::uintptr_t>(&when);
    sqe->len = 1;
    sqe->timeout_flags = IORING_TIMEOUT_ABS;  // CLOCK_MONOTONIC, as Clock is
}

}  // namespace

// ---- operations ----

RunLoop::Operation::Operation(RunLoop& loop, TimePoint when) noexcept : Operation(loop) {
    when_ = to_timespec(when.time_since_epoch());
    timer_ = true;
}

RunLoop::Operation::~Operation() {
    if (in_flight_)
        loop_->cancel_and_wait(*this);
}

bool RunLoop::Operation::start(std::coroutine_handle<> waiter, detail::PromiseBase& promise) noexcept {
    promise_ = &promise;
    cancelled_ = promise.take_cancellation();
    if (cancelled_)
        return false;
    waiter_ = waiter;
    promise.begin_await(*this);
    io_uring_sqe* sqe = loop_->prepare(this);
    if (timer_) {
        prepare_timeout(sqe, when_);
    } else {
        const auto user_data = sqe->user_data;
        std::memcpy(sqe, entry_.data(), entry_.size());
        sqe->user_data = user_data;
    }
    in_flight_ = true;
    return true;
}

void RunLoop::Operation::complete(int result, unsigned) noexcept {
    in_flight_ = false;
    result_ = result;
    waiter_.resume();
}

void RunLoop::Operation::cancel() noexcept {
    if (in_flight_ && !std::exchange(cancelling_, true))
        loop_->cancel(*this);
}

int RunLoop::Operation::await_resume() {
    if (cancelled_)
        throw Cancelled();
    const bool ended_by_cancel = cancelling_ && (result_ == -ECANCELED || result_ == -EINTR);
    promise_->end_await(cancelling_ && !ended_by_cancel);
    if (ended_by_cancel)
        throw Cancelled();
    return timer_ && result_ == -ETIME ? 0 : result_;
}

RunLoop::Operation RunLoop::sleep_until(TimePoint when) {
    return {*this, when};
}

RunLoop::Operation RunLoop::sleep_for(Duration duration) {
    return {*this, later(Clock::now(), duration)};
}

RunLoop::Operation RunLoop::event(int eventfd, std::uint64_t& count) {
    return read(eventfd, std::as_writable_bytes(std::span(&count, 1)));
}

RunLoop::Operation RunLoop::read(int fd, std::span<std::byte> buffer) {
    return submit([&](io_uring_sqe* sqe) {
        sqe->opcode = IORING_OP_READ;
        sqe->fd = fd;
        sqe->off = ~std::uint64_t{0};  // the descriptor's own position
        sqe->addr = reinterpret_cast<std::uintptr_t>(buffer.data());
        sqe->len = static_cast<unsigned>(std::min<std::size_t>(buffer.size(), INT32_MAX));
    });
}

RunLoop::Operation RunLoop::write(int fd, std::span<const std::byte> buffer) {
    return submit([&](io_uring_sqe* sqe) {
        sqe->opcode = IORING_OP_WRITE;
        sqe->fd = fd;
        sqe->off = ~std::uint64_t{0};
        sqe->addr = reinterpret_cast<std::uintptr_t>(buffer.data());
        sqe->len = static_cast<unsigned>(std::min<std::size_t>(buffer.size(), INT32_MAX));
    });
}

RunLoop::Operation RunLoop::poll(int fd, unsigned events) {
    return submit([&](io_uring_sqe* sqe) { io_uring_prep_poll_add(sqe, fd, events); });
}

// ---- alarms ----

RunLoop::Alarm::Alarm(Impl& owner, TimePoint point, detail::Awaited& cancelled) noexcept
    : loop(owner), when(to_timespec(point.time_since_epoch())), target(&cancelled) {
    prepare_timeout(loop.prepare(this), when);
}

void RunLoop::Alarm::complete(int, unsigned) noexcept {
    fired = true;
    if (target)
        target->cancel();
    else
        loop.alarms.erase(position);
}

namespace detail {

DeadlineTimer::DeadlineTimer(RunLoop& loop, TimePoint when, Awaited& target)
    : loop_(loop), alarm_(&loop.impl_->alarms.emplace_back(*loop.impl_, when, target)) {
    alarm_->position = std::prev(loop.impl_->alarms.end());
}

DeadlineTimer::~DeadlineTimer() {
    auto& loop = *loop_.impl_;
    if (alarm_->fired) {
        loop.alarms.erase(alarm_->position);
    } else {
        alarm_->target = nullptr;
        loop.cancel(*alarm_);
    }
}

bool DeadlineTimer::fired() const noexcept {
    return alarm_->fired;
}

}  // namespace detail

}  // namespace outboard
