// Coroutines for control paths (reset, identify, recover): straight-line code that can be cancelled.
#pragma once

#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace outboard {

/// What an await throws in a task that was cancelled. It is no std::exception, so a handler for errors lets
/// it pass; a handler for everything (`catch (...)`) must rethrow it.
class Cancelled final {};

template <class T>
class Task;

namespace detail {

/// What a coroutine can wait for: a child task, or an operation of a run loop.
class Awaited {
  public:
    /// Asks what is going on to end soon with Cancelled. It may still end otherwise.
    virtual void cancel() noexcept = 0;

  protected:
    ~Awaited() = default;
};

/// The part of a promise that does not depend on the result: who waits for this coroutine, and what it waits
/// for.
class PromiseBase : public Awaited {
  public:
    /// Hands over to whoever waits for the coroutine; its result stays until the Task goes.
    struct FinalAwaiter {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
            return self.promise().finish();
        }
        void await_resume() const noexcept {}
    };

    std::suspend_always initial_suspend() const noexcept { return {}; }
    FinalAwaiter final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { failure_ = std::current_exception(); }

    /// Passes the request on to what is awaited; when nothing is, the next await throws Cancelled.
    void cancel() noexcept final {
        cancel_requested_ = true;
        if (awaited_)
            awaited_->cancel();
        else
            cancel_pending_ = true;
    }
    /// True once cancel was called for this very coroutine or one that waits for it.
    bool cancel_requested() const noexcept { return cancel_requested_; }
    bool started() const noexcept { return started_; }
    bool finished() const noexcept { return finished_; }

    /// Runs the coroutine until it waits or ends; `waiter` is resumed when it ends later. True when it has
    /// not ended.
    ///
    /// The first part of a child runs inside this call, not by symmetric transfer: a loop over children that
    /// never wait then needs no stack, even where the compiler makes no tail calls (unoptimised builds).
    bool start(std::coroutine_handle<> self, std::coroutine_handle<> waiter) noexcept {
        started_ = true;
        starting_ = true;
        waiter_ = waiter;
        self.resume();
        starting_ = false;
        return !finished_;
    }

    // For awaiters: what they do to the coroutine that waits.

    /// Takes a cancellation that came while nothing was awaited: the await must throw Cancelled.
    bool take_cancellation() noexcept { return std::exchange(cancel_pending_, false); }
    void begin_await(Awaited& awaited) noexcept { awaited_ = &awaited; }
    /// `undelivered`: a cancellation reached what was awaited, but that ended without Cancelled.
    void end_await(bool undelivered) noexcept {
        awaited_ = nullptr;
        cancel_pending_ = cancel_pending_ || undelivered;
    }

  protected:
    ~PromiseBase() = default;
    void rethrow_failure() {
        if (failure_)
            std::rethrow_exception(std::exchange(failure_, nullptr));
    }

  private:
    std::coroutine_handle<> finish() noexcept {
        finished_ = true;
        if (starting_ || !waiter_)
            return std::noop_coroutine();
        return waiter_;
    }

    std::coroutine_handle<> waiter_;
    Awaited* awaited_ = nullptr;
    std::exception_ptr failure_;
    bool started_ = false;
    bool starting_ = false;
    bool finished_ = false;
    bool cancel_requested_ = false;
    bool cancel_pending_ = false;
};

template <class T>
class Promise final : public PromiseBase {
  public:
    Task<T> get_return_object() noexcept;
    template <std::convertible_to<T> U>
    void return_value(U&& value) {
        result_.emplace(std::forward<U>(value));
    }
    T take_result() {
        rethrow_failure();
        return std::move(*result_);
    }

  private:
    std::optional<T> result_;
};

template <>
class Promise<void> final : public PromiseBase {
  public:
    Task<void> get_return_object() noexcept;
    void return_void() const noexcept {}
    void take_result() { rethrow_failure(); }
};

}  // namespace detail

/// A coroutine that starts when it is awaited (or run, or spawned) and gives one result or exception to the
/// one who waits for it. Used by one thread, that of its RunLoop. It must go before the loop on which it
/// waits.
///
/// GCC 12 makes wrong code of a co_await in the condition of a loop, and of one whose operand takes
/// temporaries that have destructors: await into a variable first, and give such arguments names.
///
/// Destroying one that has not finished destroys its frame, after the operation it waits for was cancelled
/// and has ended: what the kernel writes to stays until then.
template <class T = void>
class [[nodiscard]] Task {
  public:
    static_assert(!std::is_reference_v<T>, "return a pointer instead");
    using promise_type = detail::Promise<T>;

    Task() noexcept = default;
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Task& operator=(Task&& other) noexcept {
        if (this != &other) {
            destroy();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    ~Task() { destroy(); }

    /// False for a default-made or moved-from task.
    explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
    /// True when it has ended, with a result or an exception.
    bool done() const noexcept { return handle_ && handle_.promise().finished(); }

    /// Makes the innermost await of the task throw Cancelled: its operation is cancelled in the kernel. When
    /// the task waits for nothing just now (it is not started, or it is running), its next await throws. An
    /// operation that completes in spite of it gives its result, and the cancellation meets the next await
    /// instead. One call makes at most one await throw, so a task may await during its clean-up.
    void cancel() noexcept {
        if (handle_)
            handle_.promise().cancel();
    }

    /// Starts the task and waits for its end. Once per task. Throws what the task threw, or Cancelled.
    auto operator co_await() && { return Awaiter(handle_); }

    /// The promise of a task that is not empty: for run loops and deadlines.
    detail::PromiseBase& promise() const noexcept { return handle_.promise(); }
    /// Starts it with nobody waiting; the caller watches promise().finished() and then calls take_result
    /// once.
    void start() {
        check_startable(handle_);
        handle_.promise().start(handle_, {});
    }
    T take_result() { return handle_.promise().take_result(); }

  private:
    friend promise_type;
    using Handle = std::coroutine_handle<promise_type>;

    class Awaiter {
      public:
        explicit Awaiter(Handle child) : child_(child) { check_startable(child); }

        bool await_ready() const noexcept { return false; }
        template <std::derived_from<detail::PromiseBase> Promise>
        bool await_suspend(std::coroutine_handle<Promise> waiter) noexcept {
            waiter_ = &waiter.promise();
            cancelled_ = waiter_->take_cancellation();
            if (cancelled_)
                return false;
            waiter_->begin_await(child_.promise());
            return child_.promise().start(child_, waiter);
        }
        T await_resume() {
            if (cancelled_)
                throw Cancelled();
            waiter_->end_await(child_.promise().take_cancellation());
            return child_.promise().take_result();
        }

      private:
        Handle child_;
        detail::PromiseBase* waiter_ = nullptr;
        bool cancelled_ = false;
    };

    explicit Task(Handle handle) noexcept : handle_(handle) {}

    static void check_startable(Handle handle) {
        if (!handle || handle.promise().started())
            throw std::logic_error("a task can be awaited only once, and not after it was moved from");
    }
    void destroy() noexcept {
        if (handle_)
            std::exchange(handle_, nullptr).destroy();
    }

    Handle handle_;
};

namespace detail {

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
    return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}

inline Task<void> Promise<void>::get_return_object() noexcept {
    return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

/// `co_await CurrentPromise()` gives the awaiting coroutine its own promise; it does not wait.
class CurrentPromise {
  public:
    bool await_ready() const noexcept { return false; }
    template <std::derived_from<PromiseBase> Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        promise_ = &self.promise();
        return false;
    }
    PromiseBase& await_resume() const noexcept { return *promise_; }

  private:
    PromiseBase* promise_ = nullptr;
};

}  // namespace detail

}  // namespace outboard
