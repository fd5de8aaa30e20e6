#include "outboard/sim/dma_memory.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

namespace outboard::sim {

namespace {

int protection_of(DmaRights rights) noexcept {
    return (rights.readable ? PROT_READ : 0) | (rights.writable ? PROT_WRITE : 0);
}

}  // namespace

// ---- what the client maps ----

int DmaMemory::add(std::uint64_t iova, std::uint64_t size, DmaRights rights, const Fd& file,
                   std::uint64_t offset) {
    Fd own;
    if (file) {
        own.reset(::fcntl(file.get(), F_DUPFD_CLOEXEC, 0));
        if (!own)
            return errno;
    }
    const int error = begin_adding(iova, size, rights, std::move(own), offset);
    finish_adding();
    return error;
}

int DmaMemory::begin_adding(std::uint64_t iova, std::uint64_t size, DmaRights rights, Fd file,
                            std::uint64_t offset) {
    if (size == 0 || iova % page_size != 0 || size % page_size != 0 || iova + (size - 1) < iova)
        return EINVAL;
    if (!rights.readable && !rights.writable)
        return EINVAL;
    if (mappings_.size() >= max_mappings)
        return ENOSPC;
    const auto next = std::ranges::upper_bound(mappings_, iova, {}, &Mapping::iova);
    if (next != mappings_.end() && next->iova - iova < size)
        return EEXIST;
    if (next != mappings_.begin() && iova - std::prev(next)->iova < std::prev(next)->size)
        return EEXIST;
    if (file) {
        const int error = GuardedMapping::check(file.get(), offset, size, protection_of(rights));
        if (error != 0 && error != EOPNOTSUPP)
            return error;
        if (error == 0)
            unfinished_ = Unfinished{.iova = iova, .file = std::move(file), .offset = offset};
    }
    mappings_.insert(next, Mapping{.iova = iova, .size = size, .rights = rights, .memory = {}});
    ++generation_;
    return 0;
}

void DmaMemory::finish_adding() noexcept {
    if (!unfinished_)
        return;
    const auto found = std::ranges::lower_bound(mappings_, unfinished_->iova, {}, &Mapping::iova);
    if (const int error = found->memory.map(unfinished_->file.get(), unfinished_->offset, found->size,
                                            protection_of(found->rights));
        error != 0 && log_)
        log_(fmt::format("DMA memory at {:#x} is reached by messages: its file cannot be mapped ({})",
                         found->iova, errno_text(error)));
    unfinished_.reset();
}

int DmaMemory::remove(std::uint64_t iova, std::uint64_t size) noexcept {
    const auto found = std::ranges::lower_bound(mappings_, iova, {}, &Mapping::iova);
    if (found == mappings_.end() || found->iova != iova || found->size != size)
        return ENOENT;
    mappings_.erase(found);
    ++generation_;
    return 0;
}

void DmaMemory::clear() noexcept {
    unfinished_.reset();
    mappings_.clear();
    ++generation_;
}

// ---- what the device does ----

const DmaMemory::Mapping* DmaMemory::find(std::uint64_t iova) noexcept {
    if (last_ < mappings_.size() && iova - mappings_[last_].iova < mappings_[last_].size)
        return &mappings_[last_];
    const auto next = std::ranges::upper_bound(mappings_, iova, {}, &Mapping::iova);
    if (next == mappings_.begin() || iova - std::prev(next)->iova >= std::prev(next)->size)
        return nullptr;
    last_ = static_cast<std::size_t>(std::prev(next) - mappings_.begin());
    return &mappings_[last_];
}

/// Goes through the mappings under [iova, iova + data.size()). `copy` gets null for a part that faults.
template <class Byte, class Allowed, class Copy>
bool DmaMemory::transfer(std::uint64_t iova, std::span<Byte> data, Allowed allowed, Copy copy) noexcept {
    bool complete = true;
    while (!data.empty()) {
        const Mapping* const mapping = bus_master_ ? find(iova) : nullptr;
        std::uint64_t step = page_size - iova % page_size;  // the next page may be mapped
        if (mapping != nullptr)
            step = mapping->size - (iova - mapping->iova);
        const std::span<Byte> part = data.first(std::min<std::uint64_t>(step, data.size()));
        complete &= copy(mapping != nullptr && allowed(mapping->rights) ? mapping : nullptr, iova, part);
        data = data.subspan(part.size());
        iova += part.size();
    }
    return complete;
}

bool DmaMemory::read(std::uint64_t iova, std::span<std::byte> data) noexcept {
    ++counts_.reads;
    const auto copy = [this](const Mapping* mapping, std::uint64_t from, std::span<std::byte> part) {
        if (mapping != nullptr && !mapping->memory.bytes().empty()) {
            std::memcpy(part.data(), mapping->memory.bytes().data() + (from - mapping->iova), part.size());
            return true;
        }
        if (mapping != nullptr && messages_ != nullptr && messages_->read(from, part))
            return true;
        std::ranges::fill(part, std::byte{0xff});
        return false;
    };
    const bool complete = transfer(iova, data, [](DmaRights rights) { return rights.readable; }, copy);
    if (!complete)
        count_fault(counts_.read_faults, "read", iova, data.size());
    return complete;
}

bool DmaMemory::write(std::uint64_t iova, std::span<const std::byte> data) noexcept {
    ++counts_.writes;
    const auto copy = [this](const Mapping* mapping, std::uint64_t to, std::span<const std::byte> part) {
        if (mapping != nullptr && !mapping->memory.bytes().empty()) {
            std::memcpy(mapping->memory.bytes().data() + (to - mapping->iova), part.data(), part.size());
            return true;
        }
        return mapping != nullptr && messages_ != nullptr && messages_->write(to, part);
    };
    const bool complete = transfer(iova, data, [](DmaRights rights) { return rights.writable; }, copy);
    if (!complete)
        count_fault(counts_.write_faults, "write", iova, data.size());
    return complete;
}

// ---- data, with what a fault plan does to them ----

std::optional<DmaMemory::Distorted> DmaMemory::distort(std::uint64_t iova, std::size_t size) noexcept {
    const auto part = [size](const Strike& strike) { return static_cast<std::size_t>(strike.random % size); };
    if (size == 0)
        return std::nullopt;
    if (const auto strike = faults_.strike(FaultKind::dma_short))
        return Distorted{.offset = 0, .size = part(*strike), .iova = iova};
    if (const auto strike = faults_.strike(FaultKind::dma_misplaced))
        return Distorted{.offset = 0, .size = size, .iova = iova + page_size * (1 + strike->random % 64)};
    if (faults_.strike(FaultKind::data_stale))
        return Distorted{.offset = 0, .size = 0, .iova = iova};
    if (const auto strike = faults_.strike(FaultKind::data_torn)) {
        const std::size_t missing = part(*strike);
        return Distorted{.offset = missing, .size = size - missing, .iova = iova + missing};
    }
    return std::nullopt;
}

bool DmaMemory::read_data(std::uint64_t iova, std::span<std::byte> data) noexcept {
    if (const auto distorted = distort(iova, data.size())) {
        read(distorted->iova, data.subspan(distorted->offset, distorted->size));
        return true;
    }
    return read(iova, data);
}

bool DmaMemory::write_data(std::uint64_t iova, std::span<const std::byte> data) noexcept {
    if (const auto distorted = distort(iova, data.size())) {
        write(distorted->iova, data.subspan(distorted->offset, distorted->size));
        return true;
    }
    return write(iova, data);
}

std::span<std::byte> DmaMemory::data_window(std::uint64_t iova, std::uint64_t size,
                                            DmaRights wanted) noexcept {
    if (faults_.may_strike()) [[unlikely]]
        for (const FaultKind kind :
             {FaultKind::dma_short, FaultKind::dma_misplaced, FaultKind::data_stale, FaultKind::data_torn})
            if (faults_.may_strike(kind))
                return {};
    return window(iova, size, wanted);
}

std::span<std::byte> DmaMemory::window(std::uint64_t iova, std::uint64_t size, DmaRights wanted) noexcept {
    const Mapping* const mapping = bus_master_ ? find(iova) : nullptr;
    if (mapping == nullptr || size > mapping->size - (iova - mapping->iova) ||
        mapping->memory.bytes().empty() || (wanted.readable && !mapping->rights.readable) ||
        (wanted.writable && !mapping->rights.writable))
        return {};
    return mapping->memory.bytes().subspan(iova - mapping->iova, size);
}

void DmaMemory::count_fault(Counter& counter, const char* access, std::uint64_t iova,
                            std::size_t size) noexcept {
    const std::uint64_t faults = ++counter;
    constexpr std::uint64_t all_up_to = 16;
    if (!log_ || (faults > all_up_to && !std::has_single_bit(faults)))
        return;
    try {
        log_(fmt::format("DMA fault {}: {} of {} bytes at {:#x}: {}", faults, access, size, iova,
                         bus_master_ ? "not mapped for it, or not all of it" : "bus mastering is off"));
    } catch (const std::exception&) {
        // A line less.
    }
}

}  // namespace outboard::sim
