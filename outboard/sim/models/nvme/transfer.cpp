#include "outboard/sim/models/nvme/transfer.hpp"

namespace outboard::sim::nvme {

Transfer::Transfer(DmaMemory& dma, std::uint64_t max_bytes)
    : dma_(dma), max_bytes_(max_bytes), buffer_(max_bytes) {
    const std::size_t most_segments = max_bytes / DmaMemory::page_size + 2;
    segments_.reserve(most_segments);
    windows_.reserve(most_segments);
}

StatusCode Transfer::begin(const SubmissionEntry& command, std::uint64_t bytes) {
    return find_segments(dma_, page_size_, command.prp1, command.prp2, bytes, segments_);
}

std::span<const std::span<std::byte>> Transfer::windows(DmaRights wanted) noexcept {
    windows_.clear();
    for (const Segment& segment : segments_) {
        const std::span<std::byte> window = dma_.data_window(segment.iova, segment.size, wanted);
        if (window.empty())
            return {};
        windows_.push_back(window);
    }
    return windows_;
}

StatusCode Transfer::to_client(std::span<const std::byte> data) noexcept {
    bool complete = true;
    for (const Segment& segment : segments_) {
        complete &= dma_.write_data(segment.iova, data.first(segment.size));
        data = data.subspan(segment.size);
    }
    return complete ? StatusCode::success : StatusCode::data_transfer_error;
}

StatusCode Transfer::from_client(std::span<std::byte> data) noexcept {
    bool complete = true;
    for (const Segment& segment : segments_) {
        complete &= dma_.read_data(segment.iova, data.first(segment.size));
        data = data.subspan(segment.size);
    }
    return complete ? StatusCode::success : StatusCode::data_transfer_error;
}

}  // namespace outboard::sim::nvme
