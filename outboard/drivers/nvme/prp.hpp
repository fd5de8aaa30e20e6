// Physical region pages: how a command says where its data is (NVM Express Base Specification 2.0, 4.1.1).
// Pure.
#pragma once

#include "outboard/base/endian.hpp"
#include "outboard/device/dma_arena.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
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

/// Most bytes that two PRP entries describe without a list.
inline constexpr std::uint64_t max_short_bytes = 2 * page_bytes;

/// The same for what most requests are, one segment of one or two pages, without a call. `length` is 1 …
/// max_short_bytes. False: ask make_prps.
[[gnu::always_inline]] inline bool make_short_prps(std::span<const DmaSpan> data, std::uint64_t length,
                                                   DataPointer& pointer) noexcept {
    if (data.size() != 1)
        return false;
    const DmaSpan& segment = data.front();
    const std::uint64_t iova = segment.iova;
    constexpr std::uint64_t offset_mask = page_bytes - 1;
    const std::uint64_t first_end = (iova & offset_mask) + length;
    // Turned by two bits an address is too large also when it is no multiple of 4.
    if (segment.length != length || first_end > max_short_bytes ||
        std::rotr(iova, 2) > (std::numeric_limits<std::uint64_t>::max() - max_short_bytes) >> 2)
        return false;
    pointer.prp1 = iova;
    pointer.prp2 = first_end <= page_bytes ? 0 : (iova & ~offset_mask) + page_bytes;
    return true;
}

}  // namespace outboard::nvme
