// One queue of a ublk device at work, on a thread of its own or on that of the driver.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/export/ublk/serving_queue.hpp"
#include "outboard/export/ublk/uapi.hpp"
#include "outboard/runtime/loop_thread.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace outboard::ublk {

/// Made, used and destroyed on the thread of `home`, the loop of the driver. What goes wrong on another
/// thread comes here: `home` is stopped, so that its user looks, and require_intact() says what it was.
class QueueService {
  public:
    struct Setup {
        int file = -1;      ///< of server_path; it outlives the service
        DeviceInfo info{};  ///<
        std::uint16_t number = 0;
        bool stable_writes = false;
        std::string path;                      ///< of the disk, for messages
        std::function<void()> prepare_thread;  ///< called first on a thread of its own; may be empty
        RingStock* rings = nullptr;  ///< where a thread of its own takes its ring; none: it makes one
    };

    /// Takes the buffers of all tags from the disk's arena. Throws Error.
    QueueService(RunLoop& home, BlockDevice& disk, Setup setup);
    QueueService(const QueueService&) = delete;
    QueueService& operator=(const QueueService&) = delete;
    QueueService(QueueService&&) = delete;
    QueueService& operator=(QueueService&&) = delete;
    /// It has ended, or was never started.
    ~QueueService() = default;

    /// Opens a queue of the disk and fetches all tags. Once. Throws Error when there is no thread to be had.
    void start(bool on_own_thread);
    /// Waits until that is done, or has failed.
    Task<void> settled();
    /// Throws what has gone wrong so far.
    void require_intact();

    /// Waits until the queue's loop has turned: it hangs otherwise. At once for one that has ended. One task
    /// at a time.
    Task<void> turn();

    /// From now on it may end.
    void expect_end() noexcept { end_expected_.store(true); }
    /// Waits until it has ended, after the device was stopped. Throws what ended it otherwise, if it was at
    /// work.
    Task<void> end();

    /// Ends one whose device was not stopped, and leaves its memory to the kernel until the process ends.
    static void abandon(std::unique_ptr<QueueService> service) noexcept;

  private:
    /// Deletes a queue; one that has not retired only stops, for the kernel and the disk may still use its
    /// memory.
    struct EndQueue {
        QueueService* service;
        void operator()(ServingQueue* queue) const noexcept;
    };

    Task<void> serve(RunLoop& loop);
    Task<void> serve_here();
    Task<void> answer_bell(RunLoop& loop);
    void take_result();
    void refused(int error) noexcept;
    void ended() noexcept;

    RunLoop& home_;
    BlockDevice& disk_;
    Setup setup_;
    DmaPool buffers_;
    Fd bell_;    ///< an eventfd that the queue's loop waits for
    Fd answer_;  ///< and one with which it tells that it has turned
    std::atomic<bool> fetched_{false};
    std::atomic<bool> ended_{false};
    std::atomic<bool> end_expected_{false};
    std::atomic<bool> left_{false};  ///< the kernel may use the memory still
    std::atomic<int> error_{0};      ///< the first with which the kernel refused a command
    std::exception_ptr failure_;     ///< of serve_here
    Task<void> task_;                ///< go before what they use
    std::optional<LoopThread> thread_;
};

}  // namespace outboard::ublk
