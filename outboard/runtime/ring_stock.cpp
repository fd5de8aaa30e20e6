#include "outboard/runtime/ring_stock.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/ring.hpp"

#include <cstdint>
#include <vector>

namespace outboard {

namespace {

io_uring_restriction operation(std::uint8_t opcode) noexcept {
    io_uring_restriction restriction{};
    restriction.opcode = IORING_RESTRICTION_SQE_OP;
    restriction.sqe_op = opcode;
    return restriction;
}

io_uring_restriction registration(std::uint8_t opcode) noexcept {
    io_uring_restriction restriction{};
    restriction.opcode = IORING_RESTRICTION_REGISTER_OP;
    restriction.register_op = opcode;
    return restriction;
}

io_uring_restriction entry_flags(std::uint8_t flags) noexcept {
    io_uring_restriction restriction{};
    restriction.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    restriction.sqe_flags = flags;
    return restriction;
}

void restrict_for_good(io_uring& ring, bool provided_buffers) {
    std::vector restrictions{operation(IORING_OP_POLL_ADD),
                             operation(IORING_OP_READ),
                             operation(IORING_OP_WRITE),
                             operation(IORING_OP_TIMEOUT),
                             operation(IORING_OP_ASYNC_CANCEL),
                             operation(IORING_OP_URING_CMD),
                             registration(IORING_REGISTER_RING_FDS),
                             registration(IORING_UNREGISTER_RING_FDS),
                             entry_flags(IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS)};
    if (provided_buffers) {
        restrictions.push_back(registration(IORING_REGISTER_PBUF_RING));
        restrictions.push_back(registration(IORING_UNREGISTER_PBUF_RING));
    }
    if (const int result = detail::restrict_ring(ring, restrictions); result < 0)
        throw_errno(-result, "restrict", "an io_uring to what a run loop does");
}

}  // namespace

RingStock::RingStock(unsigned count, const RingStockOptions& options) {
    rings_.reserve(count);
    try {
        while (rings_.size() < count)
            restrict_for_good(rings_.emplace_back(detail::make_ring(options.entries, true)),
                              options.provided_buffers);
    } catch (...) {
        for (io_uring& ring : rings_)
            io_uring_queue_exit(&ring);
        throw;
    }
}

RingStock::~RingStock() {
    for (io_uring& ring : rings_)
        io_uring_queue_exit(&ring);
}

io_uring RingStock::take() {
    const std::lock_guard lock(mutex_);
    if (rings_.empty())
        throw Error({.kind = ErrorKind::failed,
                     .action = "take",
                     .subject = "an io_uring of those made ahead",
                     .cause = "none is left",
                     .remedy = "make as many as there will be run loops"});
    const io_uring ring = rings_.back();
    rings_.pop_back();
    return ring;
}

std::size_t RingStock::left() const {
    const std::lock_guard lock(mutex_);
    return rings_.size();
}

}  // namespace outboard
