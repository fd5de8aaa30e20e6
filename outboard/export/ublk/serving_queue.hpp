// The data path: one queue of a ublk device, served by one thread on one ring.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/export/ublk/linger.hpp"
#include "outboard/export/ublk/request_table.hpp"
#include "outboard/export/ublk/uapi.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace outboard::ublk {

/// Takes requests from /dev/ublkcN, gives them to a BlockQueue and hands the results in. Each tag has one
/// io_uring command under way, or one request with the disk. Nothing on the path allocates, throws or makes a
/// system call of its own: the loop's one io_uring_enter hands in all results of a turn and waits for the
/// next requests.
///
/// Made, used and destroyed on the thread of `loop`; when it goes, retired() must be true (or it is
/// abandoned).
class ServingQueue final : private Poller {
  public:
    /// Opens the device's serving side and a queue of the disk; takes a buffer of info.max_io_bytes for each
    /// of info.queue_depth tags from the disk's arena. Throws Error; busy when another process serves the
    /// device.
    ServingQueue(RunLoop& loop, BlockDevice& disk, const DeviceInfo& info, bool stable_writes);
    ServingQueue(const ServingQueue&) = delete;
    ServingQueue& operator=(const ServingQueue&) = delete;
    ServingQueue(ServingQueue&&) = delete;
    ServingQueue& operator=(ServingQueue&&) = delete;
    ~ServingQueue();

    /// Ends the work of a queue that cannot retire any more, and leaves its memory to the kernel for good.
    static void abandon(std::unique_ptr<ServingQueue> queue) noexcept;

    /// Asks for the first request of every tag. Once.
    void fetch_all() noexcept;

    /// The first errno value with which the kernel refused a command; 0 for none. The end of the device is no
    /// error.
    int error() const noexcept { return error_; }
    /// From now on a refusal stops the loop: a tag is lost, and who waits for its request waits for ever.
    void stop_loop_on_error() noexcept { stops_loop_ = true; }
    /// No command is with the kernel and no request with the disk: the device was stopped.
    bool retired() const noexcept { return with_kernel_ == 0 && table_.outstanding() == 0; }
    /// Requests that were handed in since it was made.
    std::uint64_t served() const noexcept { return served_; }

  private:
    class Tag final : public Completion {
      public:
        Tag(ServingQueue& queue, std::uint16_t number) noexcept : queue_(&queue), number_(number) {}
        void complete(int result, unsigned flags) noexcept override;

      private:
        ServingQueue* queue_;
        std::uint16_t number_;
    };

    /// The descriptors, mapped read-only from the device.
    class Descriptors {
      public:
        Descriptors(int fd, unsigned depth);
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
    void prepare(std::uint32_t operation, std::uint16_t tag, int result) noexcept;
    void refused(int error) noexcept;
    std::vector<DmaSpan> buffers() const;

    RunLoop* loop_;
    Fd file_;
    Descriptors descriptors_;
    DmaPool pool_;
    RequestTable table_;
    std::unique_ptr<BlockQueue> queue_;
    std::vector<Tag> tags_;
    Linger linger_;
    bool pausing_ = true;
    std::size_t with_kernel_ = 0;
    std::uint64_t served_ = 0;
    int error_ = 0;
    bool stops_loop_ = false;
};

}  // namespace outboard::ublk
