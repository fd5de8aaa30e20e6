#include "outboard/sim/models/ahci/transfer.hpp"

#include "outboard/sim/models/ahci/registers.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace outboard::sim::ahci {

/// Only as many bytes as the command moves; the table may describe more.
Moved::Fault Transfer::find_segments(std::uint64_t table, unsigned entries, std::uint64_t bytes) {
    segments_.clear();
    for (unsigned i = 0; i < entries && bytes > 0; ++i) {
        std::array<std::byte, entry_size> entry{};
        if (!dma_.read(table + i * entry_size, entry))
            return Moved::Fault::table;
        std::uint64_t address = 0;
        std::uint32_t count = 0;
        std::memcpy(&address, entry.data(), sizeof address);
        std::memcpy(&count, entry.data() + 12, sizeof count);
        const std::uint64_t size = std::min<std::uint64_t>((count & entry_bytes) + 1, bytes);
        segments_.push_back({.iova = address & ~std::uint64_t{1}, .size = size});
        bytes -= size;
    }
    return bytes == 0 ? Moved::Fault::none : Moved::Fault::overflow;
}

Moved Transfer::run(Disk& disk, const Plan& plan, std::uint64_t table, unsigned entries) {
    if (plan.bytes > 0 && plan.action != Plan::Action::verify) {
        if (const auto fault = find_segments(table, entries, plan.bytes); fault != Moved::Fault::none)
            return {.fault = fault};
    }
    switch (plan.action) {
        case Plan::Action::read:
            if (const std::uint8_t error = disk.verify(plan); error != 0)
                return {.error = error};
            return disk.storage().null() ? Moved{} : to_host(disk, plan);
        case Plan::Action::page:
            return to_host(disk, plan);
        case Plan::Action::write:
            return disk.storage().null() ? Moved{} : from_host(disk, plan);
        case Plan::Action::trim:
            return from_host(disk, plan);
        case Plan::Action::verify:
            return {.error = disk.verify(plan)};
        case Plan::Action::flush:
            return {.error = disk.flush()};
        case Plan::Action::nothing:
        case Plan::Action::refuse:
            break;
    }
    return {.error = plan.error};
}

Moved Transfer::to_host(Disk& disk, const Plan& plan) {
    std::uint64_t at = 0;
    for (const Segment& segment : segments_) {
        const bool page = plan.action == Plan::Action::page;
        const std::span<std::byte> window = dma_.data_window(segment.iova, segment.size, {.writable = true});
        if (!page && !window.empty()) {
            if (const std::uint8_t error = disk.read(plan.offset + at, window); error != 0)
                return {.error = error};
        } else {
            buffer_.resize(segment.size);
            std::uint8_t error = 0;
            if (page)
                std::ranges::copy(disk.page().subspan(at, segment.size), buffer_.begin());
            else
                error = disk.read(plan.offset + at, buffer_);
            if (error != 0)
                return {.error = error};
            // Set-up data are no request's.
            const bool written =
                page ? dma_.write(segment.iova, buffer_) : dma_.write_data(segment.iova, buffer_);
            if (!written)
                return {.fault = Moved::Fault::data};
        }
        at += segment.size;
    }
    return {};
}

Moved Transfer::from_host(Disk& disk, const Plan& plan) {
    const bool trim = plan.action == Plan::Action::trim;
    if (segments_.size() == 1 && !trim) {
        const std::span<std::byte> window =
            dma_.data_window(segments_[0].iova, segments_[0].size, {.readable = true});
        if (!window.empty())
            return {.error = disk.write(plan.offset, window, plan.stable)};
    }
    // Borders of segments need not be those of sectors.
    buffer_.resize(plan.bytes);
    std::uint64_t at = 0;
    for (const Segment& segment : segments_) {
        const std::span<std::byte> part = std::span(buffer_).subspan(at, segment.size);
        if (!(trim ? dma_.read(segment.iova, part) : dma_.read_data(segment.iova, part)))
            return {.fault = Moved::Fault::data};
        at += segment.size;
    }
    return {.error = trim ? disk.trim(buffer_) : disk.write(plan.offset, buffer_, plan.stable)};
}

}  // namespace outboard::sim::ahci
