#include "outboard/classes/block_io.hpp"

#include <array>
#include <span>
#include <utility>

namespace outboard {

BlockIo::BlockIo(BlockDevice& device, RunLoop& loop)
    : device_(device), loop_(loop), queue_(device.open_queue(loop)) {
    loop_.add_poller(*this);
}

BlockIo::~BlockIo() {
    loop_.remove_poller(*this);
}

BlockIo::Operation BlockIo::read(std::uint64_t offset, const DmaSpan& data) {
    BlockRequest request;
    request.operation = BlockOperation::read;
    request.offset = offset;
    request.length = data.length;
    return {*this, request, data};
}

BlockIo::Operation BlockIo::write(std::uint64_t offset, const DmaSpan& data, bool force_unit_access) {
    BlockRequest request;
    request.operation = BlockOperation::write;
    request.force_unit_access = force_unit_access;
    request.offset = offset;
    request.length = data.length;
    return {*this, request, data};
}

BlockIo::Operation BlockIo::flush() {
    BlockRequest request;
    request.operation = BlockOperation::flush;
    return {*this, request};
}

BlockIo::Operation BlockIo::discard(std::uint64_t offset, std::uint64_t length) {
    BlockRequest request;
    request.operation = BlockOperation::discard;
    request.offset = offset;
    request.length = length;
    return {*this, request};
}

BlockIo::Operation BlockIo::submit(const BlockRequest& request) {
    return {*this, request};
}

TimePoint BlockIo::poll(TimePoint now) noexcept {
    std::array<BlockRequest*, 32> finished{};
    const std::size_t count = queue_->reap(finished);
    for (BlockRequest* request : std::span(finished).first(count))
        static_cast<Operation*>(request->owner)->finish();
    submit_waiting();
    // What a resumed task has done may have ended it: the loop must see that before it sleeps.
    return count > 0 ? now : queue_->next_reap(now);
}

void BlockIo::start(Operation& operation) noexcept {
    operation.in_flight_ = true;
    BlockRequest& request = operation.request_;
    request.owner = &operation;
    request.status = BlockStatus::pending;
    request.next = nullptr;
    (waiting_first_ ? waiting_last_->next : waiting_first_) = &request;
    waiting_last_ = &request;
    submit_waiting();
}

void BlockIo::submit_waiting() noexcept {
    while (waiting_first_) {
        BlockRequest* request = waiting_first_;
        BlockRequest* const next = request->next;
        if (queue_->submit({&request, 1}) == 0)
            break;
        waiting_first_ = next;
    }
}

BlockIo::Operation::Operation(BlockIo& io, const BlockRequest& request) noexcept
    : io_(io), request_(request) {}

BlockIo::Operation::Operation(BlockIo& io, const BlockRequest& request, const DmaSpan& data) noexcept
    : io_(io), request_(request), data_(data) {
    request_.data = {&data_, 1};
}

BlockIo::Operation::~Operation() {
    waiter_ = nullptr;
    while (in_flight_)
        io_.loop_.turn();
}

void BlockIo::Operation::finish() noexcept {
    in_flight_ = false;
    if (waiter_)
        waiter_.resume();
}

BlockStatus BlockIo::Operation::await_resume() {
    if (cancelled_)
        throw Cancelled();
    promise_->end_await(cancelling_);
    return request_.status;
}

}  // namespace outboard
