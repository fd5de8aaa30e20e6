#include "outboard/export/ublk/request_table.hpp"

#include <cerrno>

namespace outboard::ublk {

bool translate(const IoDescriptor& descriptor, const DmaSpan& buffer, DmaSpan& segment,
               BlockRequest& request) noexcept {
    request.offset = descriptor.start_sector * sector_bytes;
    request.length = std::uint64_t{descriptor.sectors} * sector_bytes;
    request.data = {};
    request.force_unit_access = false;
    request.status = BlockStatus::pending;
    switch (descriptor.operation_and_flags & operation::mask) {
        case operation::read:
            request.operation = BlockOperation::read;
            break;
        case operation::write:
            request.operation = BlockOperation::write;
            request.force_unit_access =
                (descriptor.operation_and_flags & operation::flag_force_unit_access) != 0;
            break;
        case operation::flush:
            request.operation = BlockOperation::flush;
            request.offset = 0;
            request.length = 0;
            return true;
        case operation::discard:
            request.operation = BlockOperation::discard;
            return true;
        case operation::write_zeroes:
            request.operation = BlockOperation::write_zeroes;
            return true;
        default:
            return false;
    }
    if (request.length > buffer.length)
        return false;
    segment = buffer.part(0, static_cast<std::size_t>(request.length));
    request.data = {&segment, 1};
    return true;
}

int result_of(const BlockRequest& request) noexcept {
    switch (request.status) {
        case BlockStatus::ok:
            return request.data.empty() ? 0 : static_cast<int>(request.length);
        case BlockStatus::media_error:
            return -ENODATA;
        case BlockStatus::timed_out:
            return -ETIMEDOUT;
        case BlockStatus::not_supported:
            return -EOPNOTSUPP;
        case BlockStatus::removed:
            return -ENODEV;
        case BlockStatus::pending:
        case BlockStatus::device_error:
        case BlockStatus::out_of_range:
        case BlockStatus::aborted:
            break;
    }
    return -EIO;
}

RequestTable::RequestTable(std::span<const IoDescriptor> descriptors, std::span<const DmaSpan> buffers,
                           bool stable_writes)
    : descriptors_(descriptors),
      buffers_(buffers.begin(), buffers.end()),
      stable_writes_(stable_writes),
      slots_(descriptors.size()),
      reaped_(descriptors.size()) {
    for (Slot& slot : slots_)
        slot.request.owner = &slot;
    waiting_.reserve(slots_.size());
    // A tag that was handed in can be back, refused, before the next call of advance() forgets its last
    // result.
    finished_.reserve(2 * slots_.size());
}

std::uint16_t RequestTable::tag_of(const BlockRequest& request) const noexcept {
    return static_cast<std::uint16_t>(static_cast<const Slot*>(request.owner) - slots_.data());
}

void RequestTable::fetched(std::uint16_t tag) noexcept {
    Slot& slot = slots_[tag];
    // One copy before it is looked at: the memory is shared with the kernel. Its completion was read with
    // acquire order, so what the kernel wrote before posting it is seen here.
    const IoDescriptor descriptor = descriptors_[tag];
    if (!translate(descriptor, buffers_[tag], slot.segment, slot.request)) {
        finished_.push_back({.tag = tag, .result = -EOPNOTSUPP});
        return;
    }
    if (stable_writes_ && slot.request.operation == BlockOperation::write)
        slot.request.force_unit_access = true;
    waiting_.push_back(&slot.request);
}

std::size_t RequestTable::bytes_to_copy(const FinishedRequest& finished) const noexcept {
    const bool reads = slots_[finished.tag].request.operation == BlockOperation::read;
    return reads && finished.result > 0 ? static_cast<std::size_t>(finished.result) : 0;
}

void RequestTable::submit(BlockQueue& queue) noexcept {
    if (waiting_.empty())
        return;
    const std::size_t taken = queue.submit(waiting_);
    with_disk_ += taken;
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(taken));
}

std::span<const FinishedRequest> RequestTable::advance(BlockQueue& queue) noexcept {
    finished_.erase(finished_.begin(), finished_.begin() + static_cast<std::ptrdiff_t>(reported_));
    submit(queue);
    const std::size_t count = with_disk_ == 0 ? 0 : queue.reap(reaped_);
    with_disk_ -= count;
    if (count != 0)
        submit(queue);
    for (std::size_t i = 0; i < count; ++i)
        finished_.push_back({.tag = tag_of(*reaped_[i]), .result = result_of(*reaped_[i])});
    std::size_t copied = 0;
    for (reported_ = 0; reported_ < finished_.size() && copied < copied_at_once; ++reported_)
        copied += bytes_to_copy(finished_[reported_]);
    return std::span(finished_).first(reported_);
}

}  // namespace outboard::ublk
