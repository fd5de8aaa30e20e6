#include "outboard/sim/pci_description.hpp"

#include "outboard/base/error.hpp"

#include <bit>

#include <fmt/format.h>

namespace outboard::sim {

namespace {

constexpr std::uint64_t page = 4096;

[[noreturn]] void refuse(const PciDescription& description, std::string cause) {
    throw Error({.kind = ErrorKind::usage,
                 .action = "simulate the device",
                 .subject = description.name,
                 .cause = std::move(cause),
                 .remedy = "correct its PciDescription"});
}

bool is_memory(const BarDescription& bar) {
    return bar.kind == BarKind::memory32 || bar.kind == BarKind::memory64;
}

void check_shared(const PciDescription& description, unsigned index) {
    const BarDescription& bar = description.bars[index];
    if (!bar.shared.empty() && !is_memory(bar))
        refuse(description, fmt::format("BAR {} is no memory and cannot be shared", index));
    std::uint64_t end = 0;
    for (const SharedArea& area : bar.shared) {
        if (area.size == 0 || area.size % page != 0 || area.offset % page != 0 || area.offset < end ||
            area.offset > bar.size || area.size > bar.size - area.offset)
            refuse(description,
                   fmt::format("the shared areas of BAR {} are not ascending whole pages in it", index));
        end = area.offset + area.size;
    }
}

void check_bar(const PciDescription& description, unsigned index) {
    const BarDescription& bar = description.bars[index];
    if (bar.kind == BarKind::none) {
        if (bar.size != 0)
            refuse(description, fmt::format("BAR {} has a size but no kind", index));
        return;
    }
    const bool port = bar.kind == BarKind::port;
    // A range of ports at fixed addresses, whose BAR is not there, may have a single one.
    const std::uint64_t smallest = port ? 1 : 16;
    const std::uint64_t largest = port                            ? 256
                                  : bar.kind == BarKind::memory32 ? std::uint64_t{1} << 31
                                                                  : std::uint64_t{1} << 40;
    if (!std::has_single_bit(bar.size) || bar.size < smallest || bar.size > largest)
        refuse(description, fmt::format("BAR {} has {} bytes, which is no power of two from {} to {}", index,
                                        bar.size, smallest, largest));
    if (bar.kind == BarKind::memory64 &&
        (index + 1 == bar_count || description.bars[index + 1].kind != BarKind::none))
        refuse(description, fmt::format("BAR {} has 64 bits and no unused BAR after it", index));
    check_shared(description, index);
}

void check_table(const PciDescription& description, unsigned index, std::uint64_t offset,
                 std::uint64_t size) {
    if (index >= bar_count || !is_memory(description.bars[index]) || offset % 8 != 0 ||
        offset > description.bars[index].size || size > description.bars[index].size - offset)
        refuse(description, "the MSI-X table or its pending bits do not lie in a memory BAR");
    for (const SharedArea& area : description.bars[index].shared)
        if (offset < area.offset + area.size && area.offset < offset + size)
            refuse(description, "the MSI-X table or its pending bits lie in a shared area");
}

}  // namespace

void check(const PciDescription& description) {
    for (unsigned index = 0; index < bar_count; ++index)
        check_bar(description, index);
    if (description.msi_vectors > 32 ||
        (description.msi_vectors != 0 && !std::has_single_bit(description.msi_vectors)))
        refuse(description,
               fmt::format("{} MSI vectors are no power of two up to 32", description.msi_vectors));
    const MsixDescription& msix = description.msix;
    if (msix.vectors == 0)
        return;
    if (msix.vectors > 2048)
        refuse(description, fmt::format("{} MSI-X vectors are more than 2048", msix.vectors));
    const std::uint64_t table_bytes = std::uint64_t{16} * msix.vectors;
    const std::uint64_t pending_bytes = std::uint64_t{8} * ((msix.vectors + 63) / 64);
    check_table(description, msix.table_bar, msix.table_offset, table_bytes);
    check_table(description, msix.pending_bar, msix.pending_offset, pending_bytes);
    if (msix.table_bar == msix.pending_bar && msix.table_offset < msix.pending_offset + pending_bytes &&
        msix.pending_offset < msix.table_offset + table_bytes)
        refuse(description, "the MSI-X table and its pending bits overlap");
}

}  // namespace outboard::sim
