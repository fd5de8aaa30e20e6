// Tables of physical region descriptors: what a controller would make of them is what was put in.
#include "outboard/drivers/ide/prd.hpp"

#include <utility>
#include <vector>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"

namespace outboard::fuzz {
namespace {

using Pieces = std::vector<std::pair<std::uint64_t, std::uint64_t>>;  ///< address, length

/// Appends a piece, joined to the last one where it continues it.
void add(Pieces& pieces, std::uint64_t address, std::uint64_t length) {
    if (!pieces.empty() && pieces.back().first + pieces.back().second == address)
        pieces.back().second += length;
    else
        pieces.emplace_back(address, length);
}

/// Walks the table as a controller does.
Pieces walk(std::span<const ide::PrdEntry> entries, std::uint32_t largest) {
    Pieces pieces;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const std::uint64_t address = entries[i].address;
        const std::uint16_t count = entries[i].byte_count;
        const std::uint64_t size = count == 0 ? 0x10000U : count;
        require(address % 2 == 0 && size % 2 == 0, "addresses and sizes are even");
        require(size <= largest, "no entry is larger than the controller takes");
        require(address / ide::prd_boundary == (address + size - 1) / ide::prd_boundary,
                "no entry crosses a boundary");
        require((entries[i].flags == ide::PrdEntry::end_of_table) == (i + 1 == entries.size()),
                "the last entry, and no other, ends the table");
        add(pieces, address, size);
    }
    return pieces;
}

}  // namespace

void run(Input input) {
    const std::uint32_t largest = 0x10000U >> input.below(8);
    std::vector<ide::PrdEntry> entries(1 + input.below(16));
    ide::PrdTable table(entries, largest);
    std::vector<DmaSpan> data;
    Pieces wanted;
    std::uint64_t end = 0;
    bool good = true;
    while (!input.empty()) {
        const unsigned kind = input.below(4);
        DmaSpan piece{.address = nullptr,
                      .iova = kind == 0 ? end : input.take<std::uint32_t>(),
                      .length = kind == 1 ? input.take<std::uint32_t>() : input.take<std::uint16_t>()};
        if (kind == 2)
            piece.iova |= std::uint64_t{input.take<std::uint32_t>()} << 32;
        else if (kind == 3)
            piece.iova &= ~std::uint64_t{1};
        end = piece.iova + piece.length;
        data.push_back(piece);
        good = good && table.append({&piece, 1});
        if (!good)
            break;
        add(wanted, piece.iova, piece.length);
    }
    require(table.used() <= entries.size(), "a table has no more entries than there is room for");
    if (!good)
        return;
    require(ide::prd_entries_needed(data, largest) >= table.used(), "no more entries than were foretold");
    require(table.finish() == !data.empty(), "a table of nothing is none");
    require(walk(std::span(entries).first(table.used()), largest) == wanted,
            "a table describes what was appended");
}

}  // namespace outboard::fuzz
