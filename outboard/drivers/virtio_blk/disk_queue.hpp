// One queue of a virtio disk: block requests become buffers, used buffers become answers. Plain functions
// without allocation, exception or lock, used by one thread. What goes wrong is told to the driver, on its
// own thread, which parks the queue meanwhile (classes/parking.hpp). The requests in flight stay where they
// are until the device was reset: before, it may still write to their memory.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/classes/attention.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/classes/parking.hpp"
#include "outboard/classes/request_chain.hpp"
#include "outboard/drivers/virtio/transport.hpp"
#include "outboard/drivers/virtio_blk/limits.hpp"
#include "outboard/drivers/virtio_blk/request.hpp"
#include "outboard/runtime/event_watch.hpp"
#include "outboard/runtime/task.hpp"
#include "outboard/runtime/wait_judge.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace outboard::virtio_blk {

struct DiskQueueSetup {
    std::uint16_t index = 0;
    std::uint16_t size = 0;  ///< descriptors, at most DiskQueue::largest_size
    DiskLimits limits;
    bool read_only = false;
    bool can_flush = false;    ///< there is such a request
    bool write_cache = false;  ///< a flush is needed for data to be stable
    Duration request_limit{};  ///< deadline of a request
    std::string name;          ///< what messages call the disk
    /// Its interrupt; -1 where it has none of its own.
    int interrupt = -1;
    /// False: nothing tells of used buffers, they are found by looking.
    bool interrupts = false;
    /// With interrupts: none is asked for while looking is better.
    bool adaptive = false;
};

class DiskQueue final : public BlockQueue {
  public:
    static constexpr std::uint16_t largest_size = 256;
    /// What a queue takes from the arena at most.
    static constexpr std::size_t dma_bytes =
        (virtio::Virtqueue::dma_bytes(largest_size) + 4095) / 4096 * 4096 +
        std::size_t{largest_size} * (64 + virtio::Virtqueue::table_bytes(max_elements)) + 4096;
    /// How often a request is sent before it is given up: after an error, after a time-out, and when resets
    /// came between that it did not cause.
    /// Each is counted by itself.
    static constexpr unsigned attempts = 3;
    static constexpr unsigned attempts_timed_out = 2;
    static constexpr unsigned attempts_interrupted = 8;

    /// The transport has negotiated features and outlives it. Throws Error when the arena has no room.
    DiskQueue(virtio::Transport& transport, Attention& attention, const DiskQueueSetup& setup);
    ~DiskQueue() override = default;
    DiskQueue(const DiskQueue&) = delete;
    DiskQueue& operator=(const DiskQueue&) = delete;
    DiskQueue(DiskQueue&&) = delete;
    DiskQueue& operator=(DiskQueue&&) = delete;

    // ---- the driver's thread ----

    /// The ring, while the queue is parked or not yet open.
    virtio::Virtqueue& ring() noexcept { return ring_; }
    /// Room for a table of descriptors of three elements, while no request is in the ring.
    DmaSpan spare_table() const noexcept {
        return frame_memory(0).part(table_offset, frame_stride_ - table_offset);
    }
    /// Empties the ring; before the device gets it.
    void restart_ring() noexcept { ring_.restart(interrupts_); }
    /// A reset begins: the queue's thread is to keep its hands off the ring. Nobody has it open: parked.
    void stop(bool is_open) noexcept;
    bool parked() const noexcept { return parking_.parked(); }
    /// The ring is the device's and empty: on with it.
    void resume() noexcept;
    /// The device is gone, and writes to no memory any more.
    void lose() noexcept;
    /// No interrupt comes any more: used buffers are looked for. It is open on this thread, or on none.
    void expect_no_interrupt() noexcept { interrupts_ = false; }
    /// What the queue's thread has asked for since the last call.
    bool take_reset() noexcept { return reset_wanted_.exchange(false, std::memory_order_acq_rel); }

    // ---- the queue's thread ----

    /// Makes it a queue on the loop of the calling thread, which outlives its being open.
    void open(RunLoop& loop);
    /// Every request has been reaped.
    void close() noexcept;
    void leave_loop() noexcept override;

    std::size_t submit(std::span<BlockRequest* const> requests) noexcept override;
    std::size_t reap(std::span<BlockRequest*> finished) noexcept override;
    TimePoint next_reap(TimePoint now) const noexcept override;

  private:
    struct Slot {
        BlockRequest* request = nullptr;  ///< null: the slot is free
        TimePoint deadline{};             ///< the clock's epoch: not decided yet
        std::uint32_t writable = 0;       ///< bytes that the device may write
        std::uint8_t failed = 0;          ///< tries that ended with an error
        std::uint8_t late = 0;            ///< tries that timed out
        std::uint8_t interrupted = 0;     ///< tries that ended with a reset that another one caused
        bool flushing = false;            ///< the write is done, and is made stable
        bool timed_out = false;           ///< the reset is because of this one
    };

    /// What the device reads and writes of a request besides its data; the table of descriptors follows.
    struct Frame {
        RequestHeader header;
        SectorRange range;
        RequestStatus status = RequestStatus::unwritten;
    };
    static constexpr std::size_t table_offset = 64;
    static_assert(sizeof(Frame) <= table_offset);

    // Starting.
    BlockStatus build(std::uint16_t index, const BlockRequest& request) noexcept;
    BlockStatus build_transfer(const BlockRequest& request) noexcept;
    BlockStatus build_range(std::uint16_t index, const BlockRequest& request, std::uint32_t most) noexcept;
    BlockStatus check_range(const BlockRequest& request, std::uint32_t most) const noexcept;
    void begin_elements(std::uint16_t index, RequestType type, std::uint64_t offset) noexcept;
    void append(std::uint64_t iova, std::uint64_t length, bool device_writes) noexcept;
    void finish_elements(std::uint16_t index) noexcept;
    bool start(BlockRequest& request) noexcept;
    BlockStatus start_in(std::uint16_t index) noexcept;
    void start_waiting() noexcept;
    bool needs_no_device(const BlockRequest& request) const noexcept {
        return request.operation == BlockOperation::flush && !can_flush_;
    }

    // Finishing.
    std::size_t consume(std::span<BlockRequest*> finished) noexcept;
    bool finish(const virtio::Used& used) noexcept;
    std::size_t pop_finished(std::span<BlockRequest*> finished) noexcept;
    void give_back(std::uint16_t index, BlockStatus status) noexcept;

    // What goes wrong (disk_queue_recovery.cpp).
    void failed(std::uint16_t index, BlockStatus status, const char* why) noexcept;
    void breach(const char* what) noexcept;
    void look_at_clock() noexcept;
    void check(TimePoint now) noexcept;
    void check_deadline(std::uint16_t index, TimePoint now) noexcept;
    void want_reset() noexcept;
    bool follow() noexcept;
    void restart_requests() noexcept;
    void lose_requests() noexcept;
    std::string describe(const Slot& slot) const;

    Task<void> listen();
    void wake() noexcept;

    DmaSpan frame_memory(std::uint16_t index) const noexcept {
        return frames_.span().part(index * frame_stride_, frame_stride_);
    }
    Frame& frame(std::uint16_t index) const noexcept {
        return *reinterpret_cast<Frame*>(frames_.address() + index * frame_stride_);
    }

    virtio::Transport& transport_;
    Attention& attention_;
    std::string name_;
    DiskLimits limits_;
    bool read_only_;
    bool can_flush_;
    bool write_cache_;
    bool interrupts_;
    bool adaptive_;
    std::size_t frame_stride_;
    virtio::Virtqueue ring_;
    DmaBuffer frames_;
    Duration request_limit_;
    Duration check_interval_;

    Parking parking_;
    std::atomic<bool> reset_wanted_{false};

    std::vector<Slot> slots_;
    std::vector<std::uint16_t> free_;                       ///< slots without a request
    std::array<virtio::Element, max_elements> elements_{};  ///< of the request that is being built
    std::size_t element_count_ = 0;
    std::size_t outstanding_ = 0;  ///< taken and not given back
    RequestChain waiting_;         ///< taken while it was not running, or had no room in the ring
    RequestChain finished_;
    bool more_ = false;    ///< reap stopped because there was no more room, not because there was nothing
    bool broken_ = false;  ///< what the ring holds is not believed any more, until a reset
    unsigned empty_looks_ = 0;
    bool looking_ = false;  ///< no interrupt is asked for
    std::uint64_t ended_ = 0;
    /// Learns from being asked when to reap, which changes nothing that a caller sees.
    mutable WaitJudge judge_;
    TimePoint next_check_{};

    Fd own_event_;
    int event_;  ///< wakes the queue's thread: its interrupt, or own_event_
    std::optional<EventWatch> watch_;
    Task<void> listener_;  ///< goes before what it waits for
};

}  // namespace outboard::virtio_blk
