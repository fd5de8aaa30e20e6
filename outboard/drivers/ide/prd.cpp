#include "outboard/drivers/ide/prd.hpp"

#include <algorithm>

namespace outboard::ide {

namespace {

constexpr std::uint64_t address_limit = std::uint64_t{1} << 32;

/// Bytes from `address` to where an entry has to end.
std::uint64_t room(std::uint64_t address, std::uint32_t largest) {
    return largest - address % largest;
}

}  // namespace

std::size_t prd_entries_needed(std::span<const DmaSpan> data, std::uint32_t largest) noexcept {
    std::size_t entries = 0;
    for (const DmaSpan& piece : data) {
        if (piece.length > 0)
            entries += (piece.iova % largest + piece.length - 1) / largest + 1;
    }
    return entries;
}

bool PrdTable::append(std::span<const DmaSpan> data) noexcept {
    return std::ranges::all_of(data,
                               [this](const DmaSpan& piece) { return append(piece.iova, piece.length); });
}

bool PrdTable::append(std::uint64_t address, std::uint64_t length) noexcept {
    if (length == 0 || (address | length) % 2 != 0 || address >= address_limit ||
        length > address_limit - address)
        return false;

    if (used_ > 0 && address == end_ && address % largest_ != 0) {
        const auto joined = static_cast<std::uint32_t>(std::min(length, room(address, largest_)));
        last_size_ += joined;
        entries_[used_ - 1].byte_count = static_cast<std::uint16_t>(last_size_);
        address += joined;
        length -= joined;
    }
    while (length > 0) {
        if (used_ == entries_.size())
            return false;
        last_size_ = static_cast<std::uint32_t>(std::min(length, room(address, largest_)));
        entries_[used_++] = {.address = static_cast<std::uint32_t>(address),
                             .byte_count = static_cast<std::uint16_t>(last_size_),
                             .flags = std::uint16_t{0}};
        address += last_size_;
        length -= last_size_;
    }
    end_ = address;
    return true;
}

bool PrdTable::finish() noexcept {
    if (used_ == 0)
        return false;
    entries_[used_ - 1].flags = PrdEntry::end_of_table;
    return true;
}

}  // namespace outboard::ide
