// Block requests for coroutines: `co_await io.read(offset, data)`. For tools and tests; data paths use
// BlockQueue.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace outboard {

/// A queue of a disk, as something to be awaited on the loop it was made on. Requests beyond the queue's
/// depth wait their turn in order. One thread. It must outlive the tasks that use it, and goes before the
/// disk.
class BlockIo final : private Poller {
  public:
    class Operation;

    /// Opens a queue of the device. Throws Error.
    BlockIo(BlockDevice& device, RunLoop& loop);
    BlockIo(const BlockIo&) = delete;
    BlockIo& operator=(const BlockIo&) = delete;
    BlockIo(BlockIo&&) = delete;
    BlockIo& operator=(BlockIo&&) = delete;
    /// No request may be going on.
    ~BlockIo();

    // Each is awaited in a Task on the loop and gives the request's BlockStatus; limits are those of
    // BlockInfo. A request that has gone to the device cannot be taken back: a cancellation waits until it
    // has ended, and meets the task's next await.

    /// Fills `data` from `offset` on.
    Operation read(std::uint64_t offset, const DmaSpan& data);
    /// Writes `data` to `offset`; with `force_unit_access` it is on stable storage afterwards.
    Operation write(std::uint64_t offset, const DmaSpan& data, bool force_unit_access = false);
    /// What was written before is on stable storage afterwards.
    Operation flush();
    /// The content of the range is not needed any more.
    Operation discard(std::uint64_t offset, std::uint64_t length);
    /// Any request; its status, next and owner are not the caller's.
    Operation submit(const BlockRequest& request);

    BlockDevice& device() const noexcept { return device_; }

  private:
    TimePoint poll(TimePoint now) noexcept override;
    void start(Operation& operation) noexcept;
    void submit_waiting() noexcept;

    BlockDevice& device_;
    RunLoop& loop_;
    std::unique_ptr<BlockQueue> queue_;
    BlockRequest* waiting_first_ = nullptr;
    BlockRequest* waiting_last_ = nullptr;
};

/// One request, to be awaited once: it starts with the await. Destroyed while it is going on, it turns the
/// loop until it has ended, as the device has its memory until then.
class [[nodiscard]] BlockIo::Operation final : private detail::Awaited {
  public:
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    Operation(Operation&&) = delete;
    Operation& operator=(Operation&&) = delete;
    ~Operation();

    bool await_ready() const noexcept { return false; }
    template <std::derived_from<detail::PromiseBase> Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiter) noexcept {
        promise_ = &waiter.promise();
        cancelled_ = promise_->take_cancellation();
        if (cancelled_)
            return false;
        waiter_ = waiter;
        promise_->begin_await(*this);
        io_.start(*this);
        return true;
    }
    BlockStatus await_resume();

  private:
    friend class BlockIo;
    Operation(BlockIo& io, const BlockRequest& request) noexcept;
    Operation(BlockIo& io, const BlockRequest& request, const DmaSpan& data) noexcept;
    void cancel() noexcept override { cancelling_ = true; }
    void finish() noexcept;

    BlockIo& io_;
    BlockRequest request_;
    DmaSpan data_;
    std::coroutine_handle<> waiter_;
    detail::PromiseBase* promise_ = nullptr;
    bool in_flight_ = false;
    bool cancelled_ = false;
    bool cancelling_ = false;
};

}  // namespace outboard
