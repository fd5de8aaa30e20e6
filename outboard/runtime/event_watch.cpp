#include "outboard/runtime/event_watch.hpp"

#include "outboard/runtime/run_loop_impl.hpp"

#include <cerrno>
#include <utility>

#include <poll.h>

namespace outboard {

EventWatch::EventWatch(RunLoop& loop, int eventfd) noexcept : loop_(*loop.impl_), eventfd_(eventfd) {
    arm();
}

EventWatch::~EventWatch() {
    if (armed_)
        loop_.cancel_and_wait(*this);
    loop_.forget_kept(cancel_delivery_);
}

void EventWatch::arm() noexcept {
    // The poll reports each wake-up of the eventfd, not its level: the counter need not be read to hear of
    // the next.
    io_uring_prep_poll_multishot(loop_.prepare(this), eventfd_, POLLIN);
    armed_ = true;
}

void EventWatch::complete(int result, unsigned flags) noexcept {
    armed_ = (flags & IORING_CQE_F_MORE) != 0;
    if (result < 0) {
        error_ = result;
    } else {
        fired_ = true;
        if (!armed_)
            arm();  // the kernel gave up for want of room; the counter is not zero, so nothing is missed
    }
    if (waiting_)
        resume(false);
}

void EventWatch::cancel() noexcept {
    if (!std::exchange(cancelling_, true))
        loop_.kept.push_back({reinterpret_cast<std::uintptr_t>(&cancel_delivery_), -ECANCELED, 0});
}

void EventWatch::CancelDelivery::complete(int, unsigned) noexcept {
    watch.resume(true);
}

void EventWatch::forget_waiter() noexcept {
    waiting_ = nullptr;
    if (std::exchange(cancelling_, false))
        loop_.forget_kept(cancel_delivery_);
}

void EventWatch::resume(bool cancelled) noexcept {
    Next& next = *waiting_;
    next.cancelled_ = cancelled;
    next.undelivered_ = cancelling_ && !cancelled;
    forget_waiter();
    next.waiter_.resume();
}

int EventWatch::Next::await_resume() {
    if (promise_)
        promise_->end_await(undelivered_);
    if (cancelled_)
        throw Cancelled();
    watch_.fired_ = false;
    return watch_.error_;
}

}  // namespace outboard
