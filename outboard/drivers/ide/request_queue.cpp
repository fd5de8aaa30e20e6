#include "outboard/drivers/ide/request_queue.hpp"

#include "outboard/drivers/ide/prd.hpp"

#include <algorithm>

namespace outboard::ide {

namespace {

bool moves_data(const BlockRequest& request) {
    return request.operation == BlockOperation::read || request.operation == BlockOperation::write;
}

/// Nothing passes it, and it joins nothing.
bool is_barrier(const BlockRequest& request) {
    return !moves_data(request) || request.force_unit_access;
}

bool collide(const BlockRequest& a, const BlockRequest& b) {
    const bool overlap = a.offset < b.offset + b.length && b.offset < a.offset + a.length;
    return overlap && (a.operation == BlockOperation::write || b.operation == BlockOperation::write);
}

/// True when `request` collides with none of the requests from `begin` up to, not including, `end`.
bool may_pass(const BlockRequest& request, const BlockRequest* begin, const BlockRequest* end) {
    for (const BlockRequest* passed = begin; passed != end; passed = passed->next) {
        if (collide(request, *passed))
            return false;
    }
    return true;
}

Batch batch_of(BlockRequest& request) {
    Batch batch;
    batch.requests.push_back(request);
    batch.offset = request.offset;
    batch.length = request.length;
    batch.parts = 1;
    return batch;
}

}  // namespace

Batch RequestQueue::take(const BatchLimits& limits) noexcept {
    if (!retries_.empty()) {
        Batch batch = batch_of(*retries_.pop_front());
        batch.attempt = retry_attempt_;
        retry_attempt_ = 0;
        return batch;
    }
    if (waiting_.empty())
        return {};
    Batch batch = batch_of(*waiting_.pop_front());
    if (is_barrier(*batch.requests.first))
        return batch;

    std::size_t entries = prd_entries_needed(batch.requests.first->data, limits.prd_largest);
    BlockRequest* before = nullptr;
    for (BlockRequest* request = waiting_.first; request && !is_barrier(*request);) {
        BlockRequest* const next = request->next;
        const bool continues = request->operation == batch.operation() &&
                               request->offset == batch.offset + batch.length &&
                               request->length <= limits.bytes - std::min(limits.bytes, batch.length);
        if (continues && may_pass(*request, waiting_.first, request)) {
            entries += prd_entries_needed(request->data, limits.prd_largest);
            if (limits.prd_entries != 0 && entries > limits.prd_entries)
                break;
            (before ? before->next : waiting_.first) = next;
            if (waiting_.last == request)
                waiting_.last = before;
            batch.requests.push_back(*request);
            batch.length += request->length;
            ++batch.parts;
        } else {
            before = request;
        }
        request = next;
    }
    return batch;
}

void RequestQueue::split(Batch& batch) noexcept {
    batch.requests.last->next = retries_.first;
    if (retries_.empty())
        retries_.last = batch.requests.last;
    retries_.first = batch.requests.first;
    retry_attempt_ = 0;
    batch = {};
}

void RequestQueue::retry(Batch& batch) noexcept {
    const unsigned attempt = batch.attempt + 1;
    split(batch);
    retry_attempt_ = attempt;
}

RequestChain RequestQueue::take_all() noexcept {
    RequestChain all = retries_;
    if (all.empty()) {
        all = waiting_;
    } else if (!waiting_.empty()) {
        all.last->next = waiting_.first;
        all.last = waiting_.last;
    }
    retries_ = {};
    waiting_ = {};
    retry_attempt_ = 0;
    return all;
}

}  // namespace outboard::ide
