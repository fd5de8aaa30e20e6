// The requests of one ublk queue: one slot a tag, from the kernel's descriptor to the disk's request and back
// to a result. Knows nothing of io_uring, so it is tested without a kernel that has ublk.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/export/ublk/uapi.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace outboard::ublk {

/// Makes the disk's request of the kernel's. `buffer` is the tag's; `segment` is where the data part of it is
/// put, and must live as long as `request`. False when the kernel asks for something that the device was not
/// said to do, or for more than the buffer holds.
bool translate(const IoDescriptor& descriptor, const DmaSpan& buffer, DmaSpan& segment,
               BlockRequest& request) noexcept;

/// What is handed in for a finished request: its bytes for read and write, 0 for the others, or a negative
/// errno value (the ones the kernel's own disk drivers give, so that users see the same messages).
int result_of(const BlockRequest& request) noexcept;

/// A request that is ready to be handed in.
struct FinishedRequest {
    std::uint16_t tag = 0;
    int result = 0;
};

/// All memory is allocated by the constructor; no call after it allocates, blocks or throws. One thread.
class RequestTable {
  public:
    /// Tag t uses descriptors[t] and buffers[t]. With `stable_writes` every write is on stable storage before
    /// it finishes: for a device that was announced without a volatile cache.
    RequestTable(std::span<const IoDescriptor> descriptors, std::span<const DmaSpan> buffers,
                 bool stable_writes);

    /// The kernel has filled in the descriptor of `tag` (less than the number of descriptors). One that the
    /// disk cannot do finishes at once.
    void fetched(std::uint16_t tag) noexcept;

    /// Submits what was fetched, in order and as far as the queue takes it; reaps what is finished. The queue
    /// is filled before and after it is reaped: its disk is busy with the next request before the caller
    /// hands in the results of the last ones, during which the kernel copies their data. That takes time, so
    /// only results for at most `copied_at_once` bytes of reads (but at least one) are given out: the disk is
    /// looked after in between. Valid until the next call.
    std::span<const FinishedRequest> advance(BlockQueue& queue) noexcept;

    /// Results wait for the next call of advance().
    bool has_more() const noexcept { return reported_ < finished_.size(); }
    /// Requests that were fetched and whose result has not been given out.
    std::size_t outstanding() const noexcept {
        return waiting_.size() + with_disk_ + (finished_.size() - reported_);
    }

    static constexpr std::size_t copied_at_once = std::size_t{256} * 1024;

  private:
    struct Slot {
        BlockRequest request;
        DmaSpan segment;
    };

    std::size_t bytes_to_copy(const FinishedRequest& finished) const noexcept;
    void submit(BlockQueue& queue) noexcept;
    std::uint16_t tag_of(const BlockRequest& request) const noexcept;

    std::span<const IoDescriptor> descriptors_;
    std::vector<DmaSpan> buffers_;
    bool stable_writes_;
    std::vector<Slot> slots_;
    std::vector<BlockRequest*>
        waiting_;  ///< fetched, not yet with the disk; never grows beyond its reservation
    std::size_t with_disk_ = 0;
    std::vector<BlockRequest*> reaped_;
    std::vector<FinishedRequest> finished_;  ///< likewise
    std::size_t reported_ = 0;               ///< of finished_, given out by the last advance
};

}  // namespace outboard::ublk
