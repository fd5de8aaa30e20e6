#include "outboard/device/dma_arena.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

constexpr std::size_t huge_page = DmaMemory::huge_page;

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) noexcept {
    return (value + alignment - 1) & ~(alignment - 1);
}

void check_alignment(std::size_t alignment, const std::string& name) {
    if (std::has_single_bit(alignment) && alignment <= DmaArena::max_alignment)
        return;
    throw Error({.kind = ErrorKind::failed,
                 .action = "allocate DMA memory of",
                 .subject = name,
                 .cause = fmt::format("an alignment of {} bytes is not a power of two up to {}", alignment,
                                      DmaArena::max_alignment),
                 .remedy = {}});
}

}  // namespace

DmaBuffer::DmaBuffer(DmaBuffer&& other) noexcept
    : arena_(std::exchange(other.arena_, nullptr)),
      span_(std::exchange(other.span_, {})),
      foreign_(other.foreign_) {}

DmaBuffer& DmaBuffer::operator=(DmaBuffer&& other) noexcept {
    if (this != &other) {
        release();
        arena_ = std::exchange(other.arena_, nullptr);
        span_ = std::exchange(other.span_, {});
        foreign_ = other.foreign_;
    }
    return *this;
}

DmaBuffer::~DmaBuffer() {
    release();
}

void DmaBuffer::release() noexcept {
    if (arena_)
        arena_->release(span_, foreign_);
    arena_ = nullptr;
    span_ = {};
}

DmaPool::DmaPool(DmaArena& arena, std::size_t block_size, std::size_t count, std::size_t alignment,
                 DmaContent content)
    : block_size_(block_size), stride_(align_up(block_size, alignment)), count_(count) {
    constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
    if (count > most || (stride_ != 0 && count > std::numeric_limits<std::size_t>::max() / stride_))
        throw Error({.kind = ErrorKind::failed,
                     .action = "make a DMA pool",
                     .subject = {},
                     .cause = fmt::format("{} blocks of {} bytes are too many", count, block_size),
                     .remedy = {}});
    storage_ = arena.allocate(stride_ * count, alignment, content);
    free_.reserve(count);
    for (std::size_t index = count; index > 0; --index)
        free_.push_back(static_cast<std::uint32_t>(index - 1));
}

DmaSpan DmaPool::take() noexcept {
    if (free_.empty())
        return {};
    const std::size_t index = free_.back();
    free_.pop_back();
    return (*this)[index];
}

void DmaPool::give(const DmaSpan& block) noexcept {
    const std::uint64_t offset = block.iova - storage_.iova();
    assert(offset % stride_ == 0 && offset / stride_ < count_ && free_.size() < count_);
    free_.push_back(static_cast<std::uint32_t>(offset / stride_));
}

DmaArena::DmaArena(Backend& backend, const DmaArenaOptions& options)
    : backend_(&backend),
      address_bits_(options.address_bits),
      memory_(DmaMemory::make(
          {.size = options.size, .page = backend.dma_page_size(), .huge_pages = options.huge_pages},
          backend.name())),
      span_{.address = memory_.bytes().data(),
            .iova = find_iova(memory_.bytes().size(), max_alignment),
            .length = memory_.bytes().size()} {
    map();
}

DmaArena::DmaArena(Backend& backend, GrantedArena granted)
    : backend_(&backend),
      address_bits_(64),
      memory_(DmaMemory::adopt(std::move(granted.file), granted.length, backend.name())),
      span_{.address = memory_.bytes().data(), .iova = granted.iova, .length = memory_.bytes().size()} {
    map();
}

void DmaArena::map() {
    backend_->map_dma({.iova = span_.iova,
                       .memory = span_.bytes(),
                       .access = DmaAccess::read_write,
                       .fd = memory_.fd(),
                       .offset = 0});
    mapped_iovas_.emplace(span_.iova, span_.length);
    free_.emplace(0, span_.length);
}

DmaArena::~DmaArena() {
    // An arena that cannot be unmapped from the IOMMU ends the process: the device could still write to it.
    backend_->unmap_dma(span_.iova, span_.length);
}

std::uint64_t DmaArena::find_iova(std::uint64_t size, std::uint64_t alignment) const {
    const std::uint64_t highest = address_bits_ >= 64 ? std::numeric_limits<std::uint64_t>::max()
                                                      : (std::uint64_t{1} << address_bits_) - 1;
    for (const IovaRange& window : backend_->iova_ranges()) {
        const std::uint64_t last = std::min(window.last, highest);
        // Never 0: to many devices, and to people, it means "none".
        std::uint64_t first = std::max<std::uint64_t>(window.first, 1);
        for (;;) {
            if (first > last || last - first < alignment - 1)
                break;
            first = align_up(first, alignment);
            if (last - first < size - 1)
                break;
            // The last mapping that starts before the end of the piece is the only one that can overlap it
            // furthest.
            const auto above = mapped_iovas_.upper_bound(first + (size - 1));
            if (above == mapped_iovas_.begin())
                return first;
            const auto& [mapped, length] = *std::prev(above);
            const std::uint64_t mapped_last = mapped + (length - 1);
            if (mapped_last < first)
                return first;
            if (mapped_last >= last)
                break;
            first = mapped_last + 1;
        }
    }
    throw Error({.kind = ErrorKind::failed,
                 .action = fmt::format("find {} bytes of I/O addresses below {:#x} for", size, highest),
                 .subject = backend_->name(),
                 .cause = "the windows of its IOMMU have no such piece free",
                 .remedy = "use a smaller arena, or register less memory at once"});
}

DmaBuffer DmaArena::allocate(std::size_t size, std::size_t alignment, DmaContent content) {
    check_alignment(alignment, backend_->name());
    for (auto piece = free_.begin(); size != 0 && piece != free_.end(); ++piece) {
        const auto [offset, length] = *piece;
        const std::size_t start = align_up(offset, alignment);
        const std::size_t skipped = start - offset;
        if (skipped > length || length - skipped < size)
            continue;
        const std::size_t rest = length - skipped - size;
        if (rest != 0)
            free_.emplace(start + size, rest);
        if (skipped != 0)
            piece->second = skipped;
        else
            free_.erase(piece);
        const DmaSpan span = span_.part(start, size);
        if (content == DmaContent::zeroes)
            std::memset(span.address, 0, size);
        return {*this, span, false};
    }
    throw Error(
        {.kind = ErrorKind::failed,
         .action = fmt::format("allocate {} bytes, aligned to {}, of the DMA arena of", size, alignment),
         .subject = backend_->name(),
         .cause = fmt::format("{} of its {} bytes are free, and no piece fits", free_bytes(), span_.length),
         .remedy = "make the arena larger"});
}

DmaBuffer DmaArena::register_memory(std::span<std::byte> memory, DmaAccess access) {
    const std::uint64_t page = backend_->dma_page_size();
    const auto address = std::bit_cast<std::uintptr_t>(memory.data());
    if (memory.empty() || address % page != 0 || memory.size() % page != 0)
        throw Error({.kind = ErrorKind::failed,
                     .action = fmt::format("register {} bytes of memory with", memory.size()),
                     .subject = backend_->name(),
                     .cause = fmt::format("it is not a whole number of pages of {} bytes", page),
                     .remedy = "align it to pages"});
    const std::uint64_t iova = find_iova(memory.size(), memory.size() >= huge_page ? huge_page : page);
    backend_->map_dma({.iova = iova, .memory = memory, .access = access, .fd = -1, .offset = 0});
    mapped_iovas_.emplace(iova, memory.size());
    return {*this, {.address = memory.data(), .iova = iova, .length = memory.size()}, true};
}

std::size_t DmaArena::free_bytes() const noexcept {
    std::size_t sum = 0;
    for (const auto& [offset, length] : free_)
        sum += length;
    return sum;
}

void DmaArena::release(const DmaSpan& span, bool foreign) noexcept {
    if (foreign) {
        backend_->unmap_dma(span.iova, span.length);
        mapped_iovas_.erase(span.iova);
        return;
    }
    const auto offset = static_cast<std::size_t>(span.iova - span_.iova);
    const auto next = free_.upper_bound(offset);
    std::size_t length = span.length;
    if (next != free_.end() && next->first == offset + length) {
        length += next->second;
        free_.erase(next);
    }
    const auto after = free_.lower_bound(offset);
    if (after != free_.begin())
        if (const auto before = std::prev(after); before->first + before->second == offset) {
            before->second += length;
            return;
        }
    free_.emplace_hint(after, offset, length);
}

}  // namespace outboard
