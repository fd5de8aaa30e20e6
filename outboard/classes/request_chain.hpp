// Requests in order, linked by their `next`: how drivers hold them without memory of their own.
#pragma once

#include "outboard/classes/block_device.hpp"

namespace outboard {

/// A queue of requests that belong to others. A request is in one chain at a time. One thread.
class RequestChain {
  public:
    bool empty() const noexcept { return first_ == nullptr; }
    void push_back(BlockRequest& request) noexcept {
        request.next = nullptr;
        (first_ ? last_->next : first_) = &request;
        last_ = &request;
    }
    void push_front(BlockRequest& request) noexcept {
        if (!first_)
            last_ = &request;
        request.next = first_;
        first_ = &request;
    }
    /// Null when there is none.
    BlockRequest* pop_front() noexcept {
        BlockRequest* const request = first_;
        if (request)
            first_ = request->next;
        return request;
    }

  private:
    BlockRequest* first_ = nullptr;
    BlockRequest* last_ = nullptr;
};

}  // namespace outboard
