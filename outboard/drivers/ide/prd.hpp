// Physical region descriptor tables (Bus Master IDE 1.0, 1.2): what a controller is told of a request's
// memory. Pure.
#pragma once

#include "outboard/base/endian.hpp"
#include "outboard/device/dma_arena.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace outboard::ide {

/// One entry as it lies in memory.
struct PrdEntry {
    Le32 address;     ///< even
    Le16 byte_count;  ///< even; 0 means 64 KiB
    Le16 flags;       ///< bit 15: the last one

    static constexpr std::uint16_t end_of_table = 0x8000;
};
static_assert(sizeof(PrdEntry) == 8);

/// No entry crosses a multiple of this, and neither does the table.
constexpr std::uint64_t prd_boundary = 0x10000;

/// Entries of the table of a channel. 4 KiB: a table of that size, aligned to it, lies in one page and
/// crosses nothing.
constexpr std::size_t prd_table_entries = 512;

/// How many entries `data` needs by itself, and never fewer than it takes in a table. `largest` is the most
/// bytes an entry may have, a power of two not above 64 KiB.
std::size_t prd_entries_needed(std::span<const DmaSpan> data, std::uint32_t largest) noexcept;

/// Fills a table piece by piece. Neighbours in address are joined where the rules allow it.
class PrdTable {
  public:
    /// `entries` is the memory of the table; `largest` as above.
    PrdTable(std::span<PrdEntry> entries, std::uint32_t largest) noexcept
        : entries_(entries), largest_(largest) {}

    /// Appends the pieces in order. False, and the table is not to be used, when they do not fit, when an
    /// address or a length is odd, a length is 0, or a piece reaches beyond 4 GiB.
    [[nodiscard]] bool append(std::span<const DmaSpan> data) noexcept;
    /// Marks the end. False when nothing was appended.
    [[nodiscard]] bool finish() noexcept;
    /// Forgets everything appended.
    void clear() noexcept { used_ = 0; }
    /// Entries used so far.
    std::size_t used() const noexcept { return used_; }

  private:
    bool append(std::uint64_t address, std::uint64_t length) noexcept;

    std::span<PrdEntry> entries_;
    std::uint32_t largest_;
    std::size_t used_ = 0;
    std::uint64_t end_ = 0;        ///< address after the last entry
    std::uint32_t last_size_ = 0;  ///< bytes of the last entry
};

}  // namespace outboard::ide
