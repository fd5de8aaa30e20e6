// A range of the client's memory that a device comes back to: a queue, a page of shadow doorbells.
#pragma once

#include "outboard/sim/dma_memory.hpp"

#include <cstddef>
#include <cstdint>

namespace outboard::sim {

/// Where the range is, and the memory itself as long as that is mapped.
class ClientRange {
  public:
    ClientRange() noexcept = default;
    ClientRange(std::uint64_t iova, std::uint64_t size, DmaRights rights) noexcept
        : iova_(iova), size_(size), rights_(rights) {}

    std::uint64_t iova() const noexcept { return iova_; }

    /// The memory, or null when it is to be reached by DmaMemory's read and write, which may fault.
    std::byte* bytes(DmaMemory& dma) noexcept {
        if (generation_ != dma.generation()) [[unlikely]] {
            generation_ = dma.generation();
            bytes_ = dma.window(iova_, size_, rights_).data();
        }
        return bytes_;
    }

  private:
    std::uint64_t iova_ = 0;
    std::uint64_t size_ = 0;
    DmaRights rights_;
    std::uint64_t generation_ = 0;
    std::byte* bytes_ = nullptr;
};

}  // namespace outboard::sim
