// One I/O queue, of one or two queue pairs of the controller: block requests become commands, completions
// become answers. Plain functions without allocation, exception or lock, used by one thread. What goes wrong
// is told to the controller, on its own thread, which parks the queue meanwhile (classes/parking.hpp). The
// requests in flight stay where they are until the controller was disabled and enabled again: before, it may
// still write to their memory.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/classes/attention.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/classes/parking.hpp"
#include "outboard/classes/request_chain.hpp"
#include "outboard/drivers/nvme/prp.hpp"
#include "outboard/drivers/nvme/queue_pair.hpp"
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

namespace outboard::nvme {

/// Most bytes of one command: its list of pages has to fit into IoQueue::list_bytes.
inline constexpr std::uint32_t max_command_bytes = 1U << 20;

/// What requests go to: a namespace, as the data path needs it.
struct Target {
    std::uint32_t namespace_id = 0;
    unsigned block_shift = 9;
    std::uint64_t block_mask = 511;        ///< of the bytes within a block
    std::uint64_t capacity = 0;            ///< bytes
    std::uint64_t max_short_transfer = 0;  ///< the smaller of max_transfer and max_short_bytes
    std::uint32_t max_transfer = 0;
    std::uint32_t max_discard = 0;
    std::uint32_t max_write_zeroes = 0;
    std::string name;  ///< what messages call it
};

struct IoQueueSetup {
    /// One, or two: then the first interrupts and the second does not, and each command goes to that one
    /// whose way of telling suits it.
    std::vector<QueuePairSetup> pairs;
    std::uint32_t entries = 0;                ///< of each ring, 2 … IoQueue::largest_entries
    RegisterBlock<register_bytes> registers;  ///< for CSTS
    Duration command_limit{};                 ///< deadline of a command
    /// Its interrupt; -1 where it has none of its own.
    int interrupt = -1;
    /// What is looked for is looked for without a pause, however long it takes.
    bool spin = false;
};

/// A command that the controller shall abort.
struct AbortWish {
    std::uint16_t submission_queue = 0;
    std::uint16_t identifier = 0;
};

class IoQueue {
  public:
    static constexpr std::uint32_t largest_entries = 256;
    static constexpr std::size_t list_bytes = 2048;
    /// What a queue takes from the arena at most.
    static constexpr std::size_t dma_bytes =
        largest_entries * (2 * (sizeof(SubmissionEntry) + sizeof(CompletionEntry)) + list_bytes);
    /// How often a command is sent before its request is given up: after an error, after a time-out, and when
    /// resets came between that it did not cause.
    /// Each is counted by itself.
    static constexpr unsigned attempts = 3;
    static constexpr unsigned attempts_timed_out = 2;
    static constexpr unsigned attempts_interrupted = 8;

    static_assert(list_bytes / sizeof(Le64) >= prp_list_entries(max_command_bytes));

    /// The controller has no such queue yet. Throws Error when the arena has no room.
    IoQueue(DmaArena& arena, Attention& attention, const IoQueueSetup& setup);

    /// Requests it takes at once.
    std::uint16_t depth() const noexcept { return depth_; }

    // ---- the controller's thread ----

    /// While it is parked, or before it is used. The rings are emptied before the controller gets them.
    std::span<QueuePair> pairs() noexcept { return pairs_; }
    /// A reset begins: the queue's thread, if somebody has it open, is to keep its hands off the rings.
    void stop(bool is_open) noexcept;
    bool parked() const noexcept { return parking_.parked(); }
    /// The controller has pairs up to this number only: goes on with those that are left. While it is parked.
    /// False: none is left.
    bool keep_pairs(unsigned most) noexcept;
    /// The rings are the controller's and empty: on with it.
    void resume() noexcept;
    /// No interrupt comes any more: completions are looked for. It is open on this thread, or on none.
    void expect_no_interrupt() noexcept;
    /// The controller is gone, and writes to no memory any more.
    void lose() noexcept;
    /// What the queue's thread has asked for since the last call.
    std::optional<AbortWish> take_abort() noexcept;
    bool take_reset() noexcept { return reset_wanted_.exchange(false, std::memory_order_acq_rel); }

    // ---- the queue's thread ----

    /// Makes it a queue to `target` on the loop of the calling thread; both outlive its being open.
    void open(RunLoop& loop, const Target& target);
    /// Every request has been reaped.
    void close() noexcept;
    /// As in BlockQueue.
    void leave_loop() noexcept;

    // As in BlockQueue.
    std::size_t submit(std::span<BlockRequest* const> requests) noexcept;
    std::size_t reap(std::span<BlockRequest*> finished) noexcept;
    TimePoint next_reap(TimePoint now) const noexcept;

    /// Takes completions in without giving them back yet, so that a level-triggered interrupt falls.
    void absorb() noexcept;

  private:
    /// No completion has this outcome.
    static constexpr std::uint64_t nothing = ~std::uint64_t{0};

    struct Slot {
        BlockRequest* request = nullptr;  ///< null: the slot is free
        std::uint64_t success = nothing;  ///< Ending::outcome of its completion when all is well
        TimePoint deadline{};             ///< the clock's epoch: not decided yet
        std::uint16_t identifier = 0;  ///< slot in the low byte, above it a number that changes with each use
        std::uint8_t pair = 0;         ///< of pairs_
        std::uint8_t failed = 0;       ///< tries that ended with an error
        std::uint8_t late = 0;         ///< tries that timed out
        std::uint8_t interrupted = 0;  ///< tries that ended with a reset that another one caused
        bool aborting = false;         ///< the deadline came, and the controller was asked to abort it
        bool timed_out = false;        ///< the reset is because of this one
    };

    // Starting.
    BlockStatus fill(SubmissionEntry& entry, std::uint16_t index, const BlockRequest& request) noexcept;
    BlockStatus fill_transfer(SubmissionEntry& entry, std::uint16_t index,
                              const BlockRequest& request) noexcept;
    void put_transfer(SubmissionEntry& entry, std::uint16_t identifier, const BlockRequest& request,
                      const DataPointer& data) const noexcept;
    BlockStatus check_range(const BlockRequest& request, std::uint32_t most) const noexcept;
    bool start_short(QueuePair& pair, BlockRequest& request) noexcept;
    void occupy(QueuePair& pair, std::uint16_t index, BlockRequest& request) noexcept;
    void start(QueuePair& pair, BlockRequest& request) noexcept;
    bool start_in(std::uint16_t index) noexcept;
    void start_waiting() noexcept;
    void ring_submissions() noexcept;
    QueuePair& pair_of(const Slot& slot) noexcept { return pairs_[slot.pair]; }

    // Finishing.
    std::size_t consume(std::span<BlockRequest*> finished) noexcept;
    std::size_t consume(QueuePair& pair, std::span<BlockRequest*> finished) noexcept;
    std::size_t pop_finished(std::span<BlockRequest*> finished) noexcept;
    bool unusual(QueuePair& pair, const Ending& ending) noexcept;
    bool is_outstanding(const QueuePair& pair, const Ending& ending) const noexcept;
    BlockRequest& release(QueuePair& pair, std::uint16_t index) noexcept;
    void give_back(std::uint16_t index, BlockStatus status) noexcept;

    // What goes wrong (io_queue_recovery.cpp).
    void failed(std::uint16_t index, Status status) noexcept;
    void breach(const Ending& ending) noexcept;
    void look_at_clock() noexcept;
    void check(TimePoint now) noexcept;
    void check_deadline(std::uint16_t index, TimePoint now) noexcept;
    void want_reset() noexcept;
    bool follow() noexcept;
    void restart_requests() noexcept;
    void lose_requests() noexcept;
    std::string describe(const BlockRequest& request) const;

    Task<void> listen();
    void wake() noexcept;

    Le64* list(std::uint16_t index) const noexcept {
        return reinterpret_cast<Le64*>(lists_.address() + std::size_t{index} * list_bytes);
    }
    std::uint64_t list_iova(std::uint16_t index) const noexcept {
        return lists_.iova() + std::uint64_t{index} * list_bytes;
    }

    // What every call needs comes first, in two cache lines: what only changes with a reset, and the rest.
    alignas(64) Parking parking_;
    bool spin_;
    std::uint16_t depth_;
    const Target* target_ = nullptr;
    std::vector<QueuePair> pairs_;
    std::vector<Slot> slots_;  ///< as many as an identifier can name; those from the depth on stay free

    alignas(64) std::size_t outstanding_ = 0;  ///< taken and not given back
    RequestChain finished_;
    std::uint64_t ended_ = 0;
    std::uint16_t free_count_ = 0;
    std::uint8_t active_ = 0;  ///< of pairs_: where commands go
    bool more_ = false;        ///< reap stopped because there was no more room, not because there was nothing
    unsigned empty_looks_ = 0;
    std::array<std::uint16_t, largest_entries> free_{};  ///< the first free_count_: slots without a request

    Attention& attention_;
    DmaBuffer lists_;
    RegisterBlock<register_bytes> registers_;
    Duration command_limit_;
    Duration check_interval_;

    std::atomic<bool> reset_wanted_{false};
    std::atomic<std::uint32_t> abort_wanted_{no_abort};
    static constexpr std::uint32_t no_abort = ~std::uint32_t{0};

    RequestChain waiting_;  ///< taken while it was not running
    /// Learns from being asked when to reap, which changes nothing that a caller sees.
    mutable WaitJudge judge_;
    TimePoint next_check_{};

    Fd own_event_;
    int event_;  ///< wakes the queue's thread: its interrupt, or own_event_
    std::optional<EventWatch> watch_;
    Task<void> listener_;  ///< goes before what it waits for
};

}  // namespace outboard::nvme
