// The order in which the requests of one disk go to it, and which of them go together. Pure: it sees requests
// only.
#pragma once

#include "outboard/classes/block_device.hpp"

#include <cstddef>
#include <cstdint>

namespace outboard::ide {

/// A chain of requests linked by `next`, in order.
struct RequestChain {
    BlockRequest* first = nullptr;
    BlockRequest* last = nullptr;

    bool empty() const noexcept { return first == nullptr; }
    void push_back(BlockRequest& request) noexcept {
        request.next = nullptr;
        (first ? last->next : first) = &request;
        last = &request;
    }
    BlockRequest* pop_front() noexcept {
        BlockRequest* request = first;
        if (request) {
            first = request->next;
            request->next = nullptr;
        }
        return request;
    }
};

/// Requests that go to the device as one command: one of any kind, or several reads, or several writes, that
/// follow each other on the disk without a gap.
struct Batch {
    RequestChain requests;
    std::uint64_t offset = 0;  ///< bytes
    std::uint64_t length = 0;
    unsigned parts = 0;    ///< requests in it
    unsigned attempt = 0;  ///< how often it was tried before

    bool empty() const noexcept { return parts == 0; }
    BlockOperation operation() const noexcept { return requests.first->operation; }
    bool force_unit_access() const noexcept { return requests.first->force_unit_access; }
};

/// What one command can carry.
struct BatchLimits {
    std::uint64_t bytes = 0;
    std::size_t prd_entries = 0;  ///< 0: not limited by a table
    std::uint32_t prd_largest = 0x10000;
};

/// Requests in the order of their arrival, but for neighbours: a read or write may be taken along with the
/// oldest one when it continues it on the disk. It never overtakes a flush, a write with force_unit_access, a
/// discard, or a request that overlaps it if either of the two writes. Every batch has the oldest request in
/// it, so none starves.
class RequestQueue {
  public:
    bool empty() const noexcept { return retries_.empty() && waiting_.empty(); }
    /// Adds a request behind all others. It must be well formed.
    void push(BlockRequest& request) noexcept { waiting_.push_back(request); }
    /// The requests of the next command, taken out. Nothing (an empty batch) when nothing waits.
    Batch take(const BatchLimits& limits) noexcept;
    /// Puts a failed batch of several requests back, to be taken one by one before anything else.
    void split(Batch& batch) noexcept;
    /// Puts a batch of one request back, to be taken before anything else with its attempt counted.
    void retry(Batch& batch) noexcept;
    /// Everything that waits, oldest first, taken out.
    RequestChain take_all() noexcept;

  private:
    RequestChain retries_;        ///< taken alone and first
    unsigned retry_attempt_ = 0;  ///< of the first in retries_
    RequestChain waiting_;
};

}  // namespace outboard::ide
