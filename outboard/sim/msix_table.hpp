// The MSI-X table and the pending bits, as they are read and written in a BAR (PCI 3.0, 6.8.2.6 to 6.8.2.10).
#pragma once

#include "outboard/sim/interrupts.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace outboard::sim {

/// Address and data of each vector; its mask and pending bit are those of Interrupts. Accesses are 4 or 8
/// bytes wide and aligned: others read zero and change nothing.
class MsixTable {
  public:
    /// `interrupts` outlives it.
    MsixTable(Interrupts& interrupts, const MsixDescription& description);

    /// True when [offset, offset + width) of a BAR touches the table or the pending bits: the access is to be
    /// made here then.
    bool owns(unsigned bar, std::uint64_t offset, unsigned width) const noexcept;

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned width) const noexcept;
    void write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) noexcept;

  private:
    bool in_table(unsigned bar, std::uint64_t offset, unsigned width) const noexcept;
    bool in_pending(unsigned bar, std::uint64_t offset, unsigned width) const noexcept;
    std::uint32_t load(std::uint64_t offset) const noexcept;
    std::uint32_t load_pending(std::uint64_t offset) const noexcept;
    void store(std::uint64_t offset, std::uint32_t value) noexcept;

    Interrupts& interrupts_;
    MsixDescription description_;
    std::vector<std::array<std::uint32_t, 3>> messages_;  ///< address, upper address, data
};

}  // namespace outboard::sim
