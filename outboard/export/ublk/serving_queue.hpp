// The data path: one queue of a ublk device, served by one thread on one ring.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/export/ublk/exchange.hpp"
#include "outboard/export/ublk/linger.hpp"
#include "outboard/export/ublk/request_table.hpp"
#include "outboard/export/ublk/uapi.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace outboard::ublk {

/// Takes requests from /dev/ublkcN, gives them to a BlockQueue and hands the results in, by what the device
/// was made for: commands for each tag, or for many at a time. Nothing on the path allocates, throws or makes
/// a system call of its own: the loop's one io_uring_enter hands in all results of a turn and waits for the
/// next requests.
///
/// Made, used and destroyed on the thread of its loop; when it goes, retired() must be true.
class ServingQueue final : private Poller {
  public:
    struct Setup {
        int file = -1;             ///< of server_path, open as long as the queue is used
        DeviceInfo info{};         ///<
        std::uint16_t number = 0;  ///< which of the device's queues
        bool stable_writes = false;
        /// Called on the thread of the queue with an errno value when the kernel refuses a command: a tag is
        /// lost, and who waits for its request waits for ever. The end of the device is no refusal.
        std::function<void(int)> refused;
    };

    /// Opens a queue of the disk. `buffers` has a block of info.max_io_bytes for each of info.queue_depth
    /// tags. Throws Error.
    ServingQueue(RunLoop& loop, BlockDevice& disk, const DmaPool& buffers, Setup setup);
    ServingQueue(const ServingQueue&) = delete;
    ServingQueue& operator=(const ServingQueue&) = delete;
    ServingQueue(ServingQueue&&) = delete;
    ServingQueue& operator=(ServingQueue&&) = delete;
    ~ServingQueue();

    /// Asks for the first request of every tag. Once, by the thread that turns the loop from then on.
    void fetch_all() noexcept { exchange_->begin(); }

    /// Waits until no command is with the kernel and no request with the disk: the device was stopped.
    Task<void> retirement();
    /// Ends the work of a queue that cannot retire any more: it is not destroyed then, nor its buffers.
    /// Called on its thread, whose loop may go afterwards.
    void leave() noexcept {
        loop_->remove_poller(*this);
        queue_->leave_loop();
    }
    bool retired() const noexcept { return exchange_->is_over() && table_.outstanding() == 0; }

  private:
    /// The descriptors, mapped read-only from the device.
    class Descriptors {
      public:
        Descriptors(int fd, unsigned queue, unsigned depth);
        Descriptors(const Descriptors&) = delete;
        Descriptors& operator=(const Descriptors&) = delete;
        Descriptors(Descriptors&&) = delete;
        Descriptors& operator=(Descriptors&&) = delete;
        ~Descriptors();
        std::span<const IoDescriptor> span() const noexcept { return {descriptors_, depth_}; }

      private:
        const IoDescriptor* descriptors_;
        unsigned depth_;
    };

    TimePoint poll(TimePoint now) noexcept override;
    std::unique_ptr<Exchange> make_exchange();
    void ended(int result) noexcept;

    RunLoop* loop_;
    Setup setup_;
    Descriptors descriptors_;
    std::vector<DmaSpan> buffers_;
    RequestTable table_;
    std::unique_ptr<BlockQueue> queue_;
    std::unique_ptr<Exchange> exchange_;
    Linger linger_;
    bool pausing_ = true;
    Fd retirement_;  ///< an eventfd
};

}  // namespace outboard::ublk
