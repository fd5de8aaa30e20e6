#include "outboard/drivers/ahci/prd.hpp"

#include <algorithm>

namespace outboard::ahci {

std::optional<std::size_t> make_prds(std::span<const DmaSpan> data, std::uint64_t length,
                                     std::uint64_t address_limit, std::span<PrdEntry> entries) noexcept {
    std::size_t used = 0;
    std::uint64_t end = 0;        // address after the last entry
    std::uint64_t last_size = 0;  // bytes of the last entry
    std::uint64_t total = 0;
    const auto put_size = [&] { entries[used - 1].size = static_cast<std::uint32_t>(last_size - 1); };
    for (const DmaSpan& piece : data) {
        std::uint64_t address = piece.iova;
        std::uint64_t left = piece.length;
        if (left == 0 || left > length - total || ((address | left) & 1) != 0 || address > address_limit ||
            left > address_limit - address)
            return std::nullopt;
        total += left;
        if (used > 0 && address == end && last_size < most_prd_bytes) {
            const std::uint64_t joined = std::min(left, most_prd_bytes - last_size);
            last_size += joined;
            put_size();
            address += joined;
            left -= joined;
        }
        while (left > 0) {
            if (used == entries.size())
                return std::nullopt;
            last_size = std::min(left, most_prd_bytes);
            entries[used++] = {.address = address, .reserved = 0U, .size = 0U};
            put_size();
            address += last_size;
            left -= last_size;
        }
        end = address;
    }
    if (total != length || used == 0)
        return std::nullopt;
    return used;
}

}  // namespace outboard::ahci
