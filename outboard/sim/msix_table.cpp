#include "outboard/sim/msix_table.hpp"

namespace outboard::sim {

namespace {

constexpr std::uint64_t entry_bytes = 16;
constexpr std::uint64_t vector_control = 3;  // the double word of an entry
constexpr std::uint32_t vector_mask = 1;

bool overlap(std::uint64_t offset, unsigned width, std::uint64_t start, std::uint64_t size) noexcept {
    return offset < start + size && start < offset + width;
}

}  // namespace

MsixTable::MsixTable(Interrupts& interrupts, const MsixDescription& description)
    : interrupts_(interrupts), description_(description), messages_(description.vectors) {}

bool MsixTable::in_table(unsigned bar, std::uint64_t offset, unsigned width) const noexcept {
    return bar == description_.table_bar &&
           overlap(offset, width, description_.table_offset, entry_bytes * description_.vectors);
}

bool MsixTable::in_pending(unsigned bar, std::uint64_t offset, unsigned width) const noexcept {
    return bar == description_.pending_bar && overlap(offset, width, description_.pending_offset,
                                                      std::uint64_t{8} * ((description_.vectors + 63) / 64));
}

bool MsixTable::owns(unsigned bar, std::uint64_t offset, unsigned width) const noexcept {
    return in_table(bar, offset, width) || in_pending(bar, offset, width);
}

std::uint64_t MsixTable::read(unsigned bar, std::uint64_t offset, unsigned width) const noexcept {
    if (width < 4)
        return 0;
    std::uint64_t value = 0;
    for (unsigned i = 0; i < width; i += 4) {
        const std::uint64_t place = offset + i;
        const std::uint32_t part = in_table(bar, place, 4)
                                       ? load(place - description_.table_offset)
                                       : load_pending(place - description_.pending_offset);
        value |= std::uint64_t{part} << (8 * i);
    }
    return value;
}

void MsixTable::write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) noexcept {
    if (width < 4)
        return;
    for (unsigned i = 0; i < width; i += 4)
        if (in_table(bar, offset + i, 4))
            store(offset + i - description_.table_offset, static_cast<std::uint32_t>(value >> (8 * i)));
}

std::uint32_t MsixTable::load(std::uint64_t offset) const noexcept {
    const auto vector = static_cast<unsigned>(offset / entry_bytes);
    const std::uint64_t word = offset % entry_bytes / 4;
    if (word == vector_control)
        return interrupts_.masked(IrqKind::msix, vector) ? vector_mask : 0;
    return messages_[vector][word];
}

std::uint32_t MsixTable::load_pending(std::uint64_t offset) const noexcept {
    std::uint32_t bits = 0;
    for (unsigned i = 0; i < 32; ++i) {
        const auto vector = static_cast<unsigned>(offset * 8 + i);
        if (vector < description_.vectors && interrupts_.pending(IrqKind::msix, vector))
            bits |= std::uint32_t{1} << i;
    }
    return bits;
}

void MsixTable::store(std::uint64_t offset, std::uint32_t value) noexcept {
    const auto vector = static_cast<unsigned>(offset / entry_bytes);
    const std::uint64_t word = offset % entry_bytes / 4;
    if (word == vector_control)
        interrupts_.set_masked(IrqKind::msix, vector, (value & vector_mask) != 0);
    else
        messages_[vector][word] = value;
}

}  // namespace outboard::sim
