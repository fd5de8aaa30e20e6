// Accesses to a device's regions as a client asks for them, whatever their size and place, turned into
// accesses on the bus.
#pragma once

#include "outboard/sim/pci_model.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace outboard::sim {

/// Regions are numbered as VFIO does: BARs 0 to 5, ROM, configuration space, VGA.
inline constexpr unsigned config_region = 7;

/// How many a client is told of: those of PCI, and the fault port where there is one.
unsigned region_count(const PciModel& model) noexcept;

/// Bytes of a region; 0 when the device does not have it.
std::uint64_t region_size(const PciModel& model, unsigned region) noexcept;

/// Reads or writes `data.size()` bytes at `offset`: 1, 2, 4 or 8 aligned bytes are one access on the bus,
/// anything else becomes a row of the largest such accesses. Returns 0, or EINVAL when it does not lie in the
/// region. May throw what the model throws.
[[nodiscard]] int read_region(PciModel& model, unsigned region, std::uint64_t offset,
                              std::span<std::byte> data);
[[nodiscard]] int write_region(PciModel& model, unsigned region, std::uint64_t offset,
                               std::span<const std::byte> data);

}  // namespace outboard::sim
