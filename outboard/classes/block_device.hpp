// What a disk driver offers and an export, a benchmark or a program takes.
#pragma once

#include "outboard/device/dma_arena.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace outboard {

enum class BlockOperation : std::uint8_t { read, write, flush, discard, write_zeroes };

/// How a request ended. The caller's data is valid only with `ok`.
enum class BlockStatus : std::uint8_t {
    pending,        ///< not finished
    ok,             ///<
    media_error,    ///< the medium could not be read or written there, also after the driver's retries
    device_error,   ///< the device failed the command, or broke its protocol
    timed_out,      ///< no answer before the deadline, also after a reset and a retry
    out_of_range,   ///< beyond the end of the device, or not a whole number of blocks
    not_supported,  ///< this device does not do that
    removed,        ///< the device is gone
    aborted,        ///< given up because the queue was closed
};

const char* to_string(BlockStatus status) noexcept;

/// One request. The caller owns it and its memory, fills it in, and leaves both alone from submit until reap
/// gives it back. Data is in the device's arena or registered with it.
struct BlockRequest {
    BlockOperation operation = BlockOperation::read;
    bool force_unit_access = false;  ///< write only: on stable storage when it finishes
    std::uint64_t offset = 0;        ///< bytes from the start of the device; a multiple of the block size
    std::uint64_t length = 0;        ///< bytes; a multiple of the block size; 0 for flush
    std::span<const DmaSpan> data;   ///< read and write: segments whose lengths add up to `length`

    BlockStatus status = BlockStatus::pending;  ///< set before reap returns the request
    BlockRequest* next = nullptr;               ///< the driver's while the request is with it
    void* owner = nullptr;                      ///< the caller's
};

/// What a disk is and can do; fixed while it is open.
struct BlockInfo {
    std::string model;
    std::string serial;
    std::string firmware;
    std::uint64_t capacity = 0;      ///< bytes
    std::uint32_t block_size = 512;  ///< logical block in bytes
    std::uint32_t physical_block_size = 512;
    std::uint32_t max_transfer = 0;       ///< bytes of one read or write request
    std::uint32_t segment_alignment = 4;  ///< IOVA and length of every segment are multiples of this
    /// All segments but the first begin, and all but the last end, at a multiple of this; 1: anywhere.
    std::uint32_t segment_boundary = 1;
    std::uint32_t max_segments = 1;      ///< per request
    std::uint32_t max_discard = 0;       ///< bytes; 0: no discard
    std::uint32_t max_write_zeroes = 0;  ///< bytes; 0: none
    std::uint16_t queue_depth = 1;       ///< requests a queue takes at once
    std::uint16_t max_queues = 1;
    bool volatile_write_cache = false;  ///< a flush is needed for data to be stable
    bool force_unit_access = false;     ///< writes may ask for it; otherwise the driver flushes after them
    bool rotational = true;
    bool read_only = false;  ///< whatever changes data ends with not_supported
};

/// A submission/completion pair used by one thread, the one that turns the RunLoop it was opened on. No call
/// of it blocks, allocates or throws.
class BlockQueue {
  public:
    BlockQueue() = default;
    BlockQueue(const BlockQueue&) = delete;
    BlockQueue& operator=(const BlockQueue&) = delete;
    BlockQueue(BlockQueue&&) = delete;
    BlockQueue& operator=(BlockQueue&&) = delete;
    /// Every request must have been reaped before.
    virtual ~BlockQueue() = default;

    /// Takes requests in order, as many as there is room for, and starts them. Returns how many it took; the
    /// rest stay the caller's. Malformed requests are taken and finish with a status.
    virtual std::size_t submit(std::span<BlockRequest* const> requests) noexcept = 0;

    /// Gives back finished requests, in the order they finished; looks at the device where it polls, and
    /// starts what waits. Returns how many were written to `finished`.
    virtual std::size_t reap(std::span<BlockRequest*> finished) noexcept = 0;

    /// The loop it was opened on is about to go, with requests that nobody will reap: lets go of that loop.
    /// After this only the driver's end may follow.
    virtual void leave_loop() noexcept {}

    /// When reap has to be called next even if the loop sees no event: a time not after `now` means at once,
    /// max() means an event will tell. Never a time in the near future when nothing is outstanding. To be
    /// asked after every reap, also after the last: queues that choose between looking and interrupts learn
    /// from it.
    virtual TimePoint next_reap(TimePoint now) const noexcept = 0;
};

/// One disk. Belongs to its driver.
class BlockDevice {
  public:
    BlockDevice() = default;
    BlockDevice(const BlockDevice&) = delete;
    BlockDevice& operator=(const BlockDevice&) = delete;
    BlockDevice(BlockDevice&&) = delete;
    BlockDevice& operator=(BlockDevice&&) = delete;
    virtual ~BlockDevice() = default;

    virtual const BlockInfo& info() const noexcept = 0;
    /// Opens one of at most info().max_queues queues on the loop of the calling thread. Several threads may
    /// open queues, and give them up, at the same time; where the disk has but one queue it may be bound to
    /// the driver's loop. Throws Error.
    virtual std::unique_ptr<BlockQueue> open_queue(RunLoop& loop) = 0;
    /// Where request memory comes from.
    virtual DmaArena& arena() noexcept = 0;
};

}  // namespace outboard
