// The memory that a command table describes (AHCI 1.3.1, 4.2.3.3), and data on their way there and back.
#pragma once

#include "outboard/sim/dma_memory.hpp"
#include "outboard/sim/models/ahci/disk.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace outboard::sim::ahci {

/// How the data of a command fared.
struct Moved {
    enum class Fault { none, table, data, overflow };
    std::uint8_t error = 0;     ///< of the disk: bits of the error register
    Fault fault = Fault::none;  ///< of the HBA
};

/// One command at a time.
class Transfer {
  public:
    /// `dma` outlives it.
    explicit Transfer(DmaMemory& dma) : dma_(dma) {}

    /// Carries a plan out that is not refused, with the `entries` descriptors at `table`.
    Moved run(Disk& disk, const Plan& plan, std::uint64_t table, unsigned entries);

  private:
    struct Segment {
        std::uint64_t iova = 0;
        std::uint64_t size = 0;
    };

    Moved::Fault find_segments(std::uint64_t table, unsigned entries, std::uint64_t bytes);
    Moved to_host(Disk& disk, const Plan& plan);
    Moved from_host(Disk& disk, const Plan& plan);

    DmaMemory& dma_;
    std::vector<Segment> segments_;
    std::vector<std::byte> buffer_;
};

}  // namespace outboard::sim::ahci
