// An eventfd that is watched all the time: the shortest way from an interrupt to a coroutine.
#pragma once

#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <concepts>
#include <coroutine>

namespace outboard {

/// Watches one eventfd from its making to its end by a single multishot poll. RunLoop::event() starts an
/// operation for each wait and reads the counter on the way to the coroutine; this does neither, and leaves
/// the counter alone. Nothing that fires between two waits is lost. Used by the thread of its loop, and goes
/// before it; the eventfd outlives it.
class EventWatch final : private Completion, private detail::Awaited {
  public:
    class Next;

    EventWatch(RunLoop& loop, int eventfd) noexcept;
    EventWatch(const EventWatch&) = delete;
    EventWatch& operator=(const EventWatch&) = delete;
    EventWatch(EventWatch&&) = delete;
    EventWatch& operator=(EventWatch&&) = delete;
    ~EventWatch();

    /// To be awaited by one task at a time: until the eventfd fires, or at once when it has fired since the
    /// last await ended (or, before the first one, when its counter was not zero). The result is 0, or a
    /// negative errno value when it cannot be polled. Several firings close together may end one await only.
    Next next() noexcept;

  private:
    /// Delivers a cancellation from the loop's next turn, not from within whoever cancels.
    struct CancelDelivery final : Completion {
        explicit CancelDelivery(EventWatch& owner) noexcept : watch(owner) {}
        void complete(int result, unsigned flags) noexcept override;
        EventWatch& watch;
    };

    void arm() noexcept;
    void complete(int result, unsigned flags) noexcept override;
    void cancel() noexcept override;
    void forget_waiter() noexcept;
    void resume(bool cancelled) noexcept;

    RunLoop::Impl& loop_;
    int eventfd_;
    CancelDelivery cancel_delivery_{*this};
    bool armed_ = false;
    bool fired_ = false;
    int error_ = 0;
    bool cancelling_ = false;  ///< a cancellation waits to be delivered
    Next* waiting_ = nullptr;
};

/// What next() gives.
class [[nodiscard]] EventWatch::Next {
  public:
    explicit Next(EventWatch& watch) noexcept : watch_(watch) {}
    Next(const Next&) = delete;
    Next& operator=(const Next&) = delete;
    Next(Next&&) = delete;
    Next& operator=(Next&&) = delete;
    ~Next() {
        if (watch_.waiting_ == this)
            watch_.forget_waiter();
    }

    bool await_ready() const noexcept { return false; }
    template <std::derived_from<detail::PromiseBase> Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiter) noexcept {
        cancelled_ = waiter.promise().take_cancellation();
        if (cancelled_ || watch_.fired_ || watch_.error_ != 0)
            return false;
        waiter_ = waiter;
        promise_ = &waiter.promise();
        promise_->begin_await(watch_);
        watch_.waiting_ = this;
        return true;
    }
    int await_resume();

  private:
    friend class EventWatch;

    EventWatch& watch_;
    std::coroutine_handle<> waiter_;
    detail::PromiseBase* promise_ = nullptr;
    bool cancelled_ = false;
    bool undelivered_ = false;  ///< a cancellation came too late: the event was there
};

inline EventWatch::Next EventWatch::next() noexcept {
    return Next(*this);
}

}  // namespace outboard
