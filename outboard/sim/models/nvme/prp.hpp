// Physical region pages: where the data of a command lies in the client's memory (NVM Express base
// specification 1.4, 4.3).
#pragma once

#include "outboard/sim/dma_memory.hpp"
#include "outboard/sim/models/nvme/commands.hpp"

#include <cstdint>
#include <vector>

namespace outboard::sim::nvme {

/// A part of the client's memory.
struct Segment {
    std::uint64_t iova = 0;
    std::uint64_t size = 0;

    friend bool operator==(const Segment&, const Segment&) = default;
};

/// Puts the memory that PRP 1 and PRP 2 name for `bytes` bytes (not 0) into `segments`, neighbours made one;
/// reads PRP lists. `page_size` is that of CC.MPS. Returns success, invalid_prp_offset, or
/// data_transfer_error when a list cannot be read. Allocates nothing while segments has room for bytes /
/// page_size + 2.
StatusCode find_segments(DmaMemory& dma, std::uint64_t page_size, std::uint64_t prp1, std::uint64_t prp2,
                         std::uint64_t bytes, std::vector<Segment>& segments);

}  // namespace outboard::sim::nvme
