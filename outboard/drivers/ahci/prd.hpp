// Physical region descriptor tables (AHCI 1.3.1, 4.2.3.3): what an HBA is told of a request's memory. Pure.
#pragma once

#include "outboard/base/endian.hpp"
#include "outboard/device/dma_arena.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace outboard::ahci {

/// One entry as it lies in memory.
struct PrdEntry {
    Le64 address;  ///< even
    Le32 reserved;
    Le32 size;  ///< bytes less one, 21:0
};
static_assert(sizeof(PrdEntry) == 16);

/// Most bytes of an entry.
inline constexpr std::uint64_t most_prd_bytes = std::uint64_t{4} << 20;

/// Fills `entries` with the pieces of `data` in order; neighbours in address are joined. Returns how many
/// entries are used. Nothing, and they are not to be used, when an address or a length is odd, a length is 0,
/// a piece reaches beyond `address_limit`, the lengths do not add up to `length`, or there are too few
/// entries.
[[nodiscard]] std::optional<std::size_t> make_prds(std::span<const DmaSpan> data, std::uint64_t length,
                                                   std::uint64_t address_limit,
                                                   std::span<PrdEntry> entries) noexcept;

}  // namespace outboard::ahci
