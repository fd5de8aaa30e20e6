// All of a device's DMA memory: one memfd, mapped once into the process and once into the IOMMU.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/device/dma_memory.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace outboard {

class DmaArena;

/// Memory as the device and the process see it. A view: it owns nothing.
struct DmaSpan {
    std::byte* address = nullptr;
    std::uint64_t iova = 0;
    std::size_t length = 0;

    std::span<std::byte> bytes() const noexcept { return {address, length}; }
    /// The part [offset, offset + size); the caller keeps it inside.
    DmaSpan part(std::size_t offset, std::size_t size) const noexcept {
        return {.address = address + offset, .iova = iova + offset, .length = size};
    }
};

/// Owns a piece of an arena, or foreign memory registered with the device for a while. Movable. It must go
/// before its arena. When it goes the piece is free again; foreign memory is unmapped from the IOMMU.
class DmaBuffer {
  public:
    DmaBuffer() noexcept = default;
    DmaBuffer(DmaBuffer&& other) noexcept;
    DmaBuffer& operator=(DmaBuffer&& other) noexcept;
    DmaBuffer(const DmaBuffer&) = delete;
    DmaBuffer& operator=(const DmaBuffer&) = delete;
    ~DmaBuffer();

    const DmaSpan& span() const noexcept { return span_; }
    std::byte* address() const noexcept { return span_.address; }
    std::uint64_t iova() const noexcept { return span_.iova; }
    std::size_t length() const noexcept { return span_.length; }

    /// The start of the buffer as a T. T must be trivially copyable and fit; the buffer was zeroed when
    /// allocated.
    template <class T>
    T* as() const noexcept {
        return reinterpret_cast<T*>(span_.address);
    }

  private:
    friend class DmaArena;
    DmaBuffer(DmaArena& arena, DmaSpan span, bool foreign) noexcept
        : arena_(&arena), span_(span), foreign_(foreign) {}
    void release() noexcept;

    DmaArena* arena_ = nullptr;
    DmaSpan span_;
    bool foreign_ = false;
};

/// What newly allocated DMA memory holds. Its last user is of the same device, so `any` gives nothing away;
/// it spares the time to write zeroes to what will be written to anyway.
enum class DmaContent : std::uint8_t { zeroes, any };

/// Equal blocks carved out of one buffer. take and give are constant-time and do not allocate. One thread.
class DmaPool {
  public:
    /// `count` blocks of `block_size` bytes, each aligned to `alignment` (a power of two). Throws Error when
    /// the arena has no room.
    DmaPool(DmaArena& arena, std::size_t block_size, std::size_t count, std::size_t alignment,
            DmaContent content = DmaContent::zeroes);

    /// A free block, or one with length 0 when all are taken. Its content is what the last user left.
    DmaSpan take() noexcept;
    /// Gives a block back; it must come from take of this pool.
    void give(const DmaSpan& block) noexcept;

    /// Block `index` whether it is free or not, for pools in which the index is a tag.
    DmaSpan operator[](std::size_t index) const noexcept {
        return storage_.span().part(index * stride_, block_size_);
    }
    std::size_t size() const noexcept { return count_; }

  private:
    std::size_t block_size_;
    std::size_t stride_;
    std::size_t count_;
    DmaBuffer storage_;
    std::vector<std::uint32_t> free_;
};

struct DmaArenaOptions {
    std::size_t size = 0;        ///< bytes of DMA memory; rounded up to whole pages
    unsigned address_bits = 64;  ///< the device can address IOVAs below 2^address_bits
    bool huge_pages = true;      ///< try 2 MiB pages first when the size is worth it; never required
};

/// An arena that another process made and mapped for the device.
struct GrantedArena {
    Fd file;
    std::size_t length = 0;  ///< bytes, all of the file
    std::uint64_t iova = 0;  ///< where the device finds it
};

/// One thread sets up and allocates. Memory is locked while it lives: the constructor throws Error with kind
/// not_permitted, the limit and the limit needed when RLIMIT_MEMLOCK is too low.
class DmaArena {
  public:
    /// The arena's own address and IOVA are multiples of this, so alignments up to it hold for both.
    static constexpr std::size_t max_alignment = DmaMemory::alignment;

    DmaArena(Backend& backend, const DmaArenaOptions& options);
    /// All of it is free, whatever it holds.
    DmaArena(Backend& backend, GrantedArena granted);
    ~DmaArena();
    DmaArena(const DmaArena&) = delete;
    DmaArena& operator=(const DmaArena&) = delete;
    DmaArena(DmaArena&&) = delete;
    DmaArena& operator=(DmaArena&&) = delete;

    /// A buffer of `size` bytes whose IOVA and address are multiples of `alignment` (a power of two, at most
    /// max_alignment). Throws Error that says how much was asked for and how much is left.
    DmaBuffer allocate(std::size_t size, std::size_t alignment = 64, DmaContent content = DmaContent::zeroes);

    /// Makes `memory` of the caller's reachable for the device until the buffer goes. The memory must be
    /// page-aligned, stay mapped, and not be registered twice. Throws Error. Memory that later cannot be
    /// unmapped from the IOMMU ends the process: the device could write to what follows it there.
    DmaBuffer register_memory(std::span<std::byte> memory, DmaAccess access = DmaAccess::read_write);

    /// The whole arena.
    const DmaSpan& span() const noexcept { return span_; }
    /// The file behind it: hand it to whoever shall share the memory.
    int fd() const noexcept { return memory_.fd(); }
    std::size_t free_bytes() const noexcept;
    bool huge_pages() const noexcept { return memory_.huge_pages(); }

  private:
    friend class DmaBuffer;
    void release(const DmaSpan& span, bool foreign) noexcept;
    void map();
    std::uint64_t find_iova(std::uint64_t size, std::uint64_t alignment) const;

    Backend* backend_;
    unsigned address_bits_;
    DmaMemory memory_;
    std::map<std::uint64_t, std::uint64_t> mapped_iovas_;  ///< first → length of everything mapped
    DmaSpan span_;
    std::map<std::size_t, std::size_t> free_;  ///< offset → length, ascending, never adjacent
};

}  // namespace outboard
