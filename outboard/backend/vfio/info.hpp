// Variable-sized answers of VFIO ioctls: a fixed part, then a chain of capabilities (linux/vfio.h).
#pragma once

#include "outboard/backend/backend.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace outboard::vfio {

/// Finds the capability `id` in the chain that starts `first` bytes into `info`; offsets count from the start
/// of `info`. The span runs from the capability's header to the end of `info`. Chains that leave `info` or do
/// not go forward end the walk.
std::optional<std::span<const std::byte>> find_capability(std::span<const std::byte> info,
                                                          std::uint32_t first, std::uint16_t id);

/// The areas of a sparse-mmap capability, cut to `region_size`.
std::vector<MappableArea> parse_sparse_areas(std::span<const std::byte> capability,
                                             std::uint64_t region_size);

/// The ranges of an IOVA-range capability, ascending.
std::vector<IovaRange> parse_iova_ranges(std::span<const std::byte> capability);

}  // namespace outboard::vfio
