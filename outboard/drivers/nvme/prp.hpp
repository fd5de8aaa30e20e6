// Physical region pages: how a command says where its data is (NVM Express Base Specification 2.0, 4.1.1).
// Pure.
#pragma once

#include "outboard/base/endian.hpp"
#include "outboard/device/dma_arena.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace outboard::nvme {

/// The memory page that the controller is set to (CC.MPS = 0).
inline constexpr std::uint64_t page_bytes = 4096;

/// Both PRP entries of a command.
struct DataPointer {
    std::uint64_t prp1 = 0;
    std::uint64_t prp2 = 0;

    friend bool operator==(const DataPointer&, const DataPointer&) = default;
};

/// Memory for a list: it lies inside one page, so that lists never chain.
struct PrpList {
    std::span<Le64> entries;
    std::uint64_t iova = 0;
};

/// Entries of the list that `bytes` need at most, wherever they begin.
constexpr std::size_t prp_list_entries(std::uint64_t bytes) noexcept {
    return (bytes + page_bytes - 1) / page_bytes;
}

/// Describes `data`, whose lengths add up to `length` bytes; fills the list when two entries do not suffice.
/// Nothing when PRPs cannot say it: a segment that is empty or whose IOVA is no multiple of 4, one other than
/// the first that does not begin at a page, one other than the last that does not end at one, lengths that do
/// not add up, or a list that is too short.
std::optional<DataPointer> make_prps(std::span<const DmaSpan> data, std::uint64_t length,
                                     const PrpList& list) noexcept;

/// The same for what most requests are, one segment of one or two pages, without a call. False: ask
/// make_prps.
inline bool make_short_prps(std::span<const DmaSpan> data, std::uint64_t length,
                            DataPointer& pointer) noexcept {
    if (data.size() != 1)
        return false;
    const DmaSpan& segment = data.front();
    constexpr std::uint64_t offset_mask = page_bytes - 1;
    const std::uint64_t first_end = (segment.iova & offset_mask) + length;
    if (segment.length != length || length - 1 >= 2 * page_bytes || first_end > 2 * page_bytes ||
        segment.iova % 4 != 0 || segment.iova > ~(2 * page_bytes))
        return false;
    pointer.prp1 = segment.iova;
    pointer.prp2 = first_end <= page_bytes ? 0 : (segment.iova & ~offset_mask) + page_bytes;
    return true;
}

}  // namespace outboard::nvme
