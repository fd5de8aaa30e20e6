// The data of one command at a time, between the controller and the client's memory.
#pragma once

#include "outboard/sim/dma_memory.hpp"
#include "outboard/sim/models/nvme/commands.hpp"
#include "outboard/sim/models/nvme/prp.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace outboard::sim::nvme {

class Transfer {
  public:
    /// `dma` outlives it; no command moves more than `max_bytes`.
    Transfer(DmaMemory& dma, std::uint64_t max_bytes);

    std::uint64_t max_bytes() const noexcept { return max_bytes_; }
    /// The size of CC.MPS.
    void set_page_size(std::uint64_t bytes) noexcept { page_size_ = bytes; }
    std::uint64_t page_size() const noexcept { return page_size_; }

    /// Finds the memory of a command whose data are `bytes` (1 … max_bytes()). The functions below are about
    /// this memory. Anything but success is the command's status.
    [[nodiscard]] StatusCode begin(const SubmissionEntry& command, std::uint64_t bytes);

    /// The memory itself, in parts, when all of it can be accessed so; otherwise empty.
    std::span<const std::span<std::byte>> windows(DmaRights wanted) noexcept;

    /// Copies all of it. What is not mapped is a data_transfer_error.
    [[nodiscard]] StatusCode to_client(std::span<const std::byte> data) noexcept;
    [[nodiscard]] StatusCode from_client(std::span<std::byte> data) noexcept;

    /// Room for the data of a command, in the controller.
    std::span<std::byte> buffer(std::uint64_t bytes) noexcept { return std::span(buffer_).first(bytes); }

  private:
    DmaMemory& dma_;
    std::uint64_t max_bytes_;
    std::uint64_t page_size_ = 4096;
    std::vector<Segment> segments_;
    std::vector<std::span<std::byte>> windows_;
    std::vector<std::byte> buffer_;
};

}  // namespace outboard::sim::nvme
