// A part of a queue in the client's memory, word by word.
#pragma once

#include "outboard/sim/client_range.hpp"
#include "outboard/sim/dma_memory.hpp"

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace outboard::sim::virtio {

/// Each access is one of the client's memory, or a DMA access where that is not mapped. `dma` outlives it.
class RingMemory {
  public:
    RingMemory(DmaMemory& dma, std::uint64_t iova, std::uint64_t size, DmaRights rights) noexcept
        : dma_(&dma), range_(iova, size, rights), iova_(iova) {}

    /// What the client wrote before the word is read after it.
    template <std::unsigned_integral T>
    T load(std::uint64_t offset) noexcept {
        if (std::byte* const bytes = range_.bytes(*dma_);
            bytes != nullptr && (iova_ + offset) % sizeof(T) == 0)
            return std::atomic_ref(*reinterpret_cast<T*>(bytes + offset)).load(std::memory_order_acquire);
        T value{};
        failed_ |= !dma_->read(iova_ + offset, std::as_writable_bytes(std::span(&value, 1)));
        return value;
    }

    /// What was written before is visible to who sees the word.
    template <std::unsigned_integral T>
    void store(std::uint64_t offset, std::type_identity_t<T> value) noexcept {
        if (std::byte* const bytes = range_.bytes(*dma_);
            bytes != nullptr && (iova_ + offset) % sizeof(T) == 0)
            std::atomic_ref(*reinterpret_cast<T*>(bytes + offset)).store(value, std::memory_order_release);
        else
            failed_ |= !dma_->write(iova_ + offset, std::as_bytes(std::span(&value, 1)));
    }

    /// An access has faulted.
    bool failed() const noexcept { return failed_; }

  private:
    DmaMemory* dma_;
    ClientRange range_;
    std::uint64_t iova_;
    bool failed_ = false;
};

}  // namespace outboard::sim::virtio
