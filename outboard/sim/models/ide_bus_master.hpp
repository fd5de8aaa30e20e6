// The bus master of one channel: its registers, and the walk through the PRD table (SFF-8038i).
#pragma once

#include "outboard/sim/dma_memory.hpp"
#include "outboard/sim/models/ide_breaches.hpp"
#include "outboard/sim/models/ide_disk.hpp"

#include <cstdint>
#include <span>

namespace outboard::sim {

/// One thread.
class IdeBusMaster {
  public:
    /// The references outlive it.
    IdeBusMaster(DmaMemory& memory, IdeBreaches& breaches, FaultInjector& faults)
        : memory_(memory), breaches_(breaches), faults_(faults) {}

    /// One byte of its eight; 1 and 3 are the controller's own, or nothing.
    std::uint8_t read(unsigned place) const noexcept;
    void write(unsigned place, std::uint8_t value);

    bool active() const noexcept { return active_; }
    /// The channel's interrupt has risen.
    void note_interrupt() noexcept { status_ |= bus_master::status_interrupt; }
    /// Moves what `disk` wants, as far as the table goes, and ends the command when that was all.
    void run(IdeDisk& disk);
    void reset() noexcept;

  private:
    enum class Moved { all, disk_failed, bus_failed };

    bool next_entry();
    Moved move_in(IdeDisk& disk, std::uint32_t size);
    Moved move_out(IdeDisk& disk, std::uint32_t size);
    /// The two decision points: how a walk ends.
    void stop_after_transfer() noexcept;
    void stop_after_bus_error() noexcept;

    DmaMemory& memory_;
    IdeBreaches& breaches_;
    FaultInjector& faults_;
    std::uint8_t command_ = 0;
    std::uint8_t status_ = 0;
    std::uint32_t table_ = 0;
    bool active_ = false;
    std::uint32_t entry_ = 0;    ///< address of the next one
    std::uint32_t address_ = 0;  ///< in the region of the one at hand
    std::uint32_t left_ = 0;     ///< bytes of it
    bool last_ = false;          ///< it is the table's last
};

}  // namespace outboard::sim
