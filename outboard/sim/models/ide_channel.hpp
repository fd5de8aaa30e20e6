// One channel of a PCI IDE controller: what lies on its cable, and its bus master (PCI IDE 1.0; ATA/ATAPI-6,
// 7.1 and 9.16: who answers when a device is missing).
#pragma once

#include "outboard/sim/models/ide_bus_master.hpp"
#include "outboard/sim/models/ide_disk.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

namespace outboard::sim {

/// What a channel is part of. The references outlive it.
struct IdeChannelSurroundings {
    DmaMemory& memory;
    Timers& timers;
    IdeBreaches& breaches;
    FaultInjector& faults;
    std::function<void()> interrupt_changed;
};

/// One thread.
class IdeChannel final : private IdeDiskHost {
  public:
    explicit IdeChannel(IdeChannelSurroundings surroundings);
    IdeChannel(const IdeChannel&) = delete;
    IdeChannel& operator=(const IdeChannel&) = delete;
    IdeChannel(IdeChannel&&) = delete;
    IdeChannel& operator=(IdeChannel&&) = delete;
    ~IdeChannel() = default;

    /// Puts a disk into place 0 or 1, which is empty. Throws Error.
    void add_disk(unsigned unit, const IdeDiskOptions& options);
    /// Null when the place is empty.
    IdeDisk* disk(unsigned unit) noexcept { return disks_[unit].get(); }

    std::uint16_t read_data();
    void write_data(std::uint16_t word);
    /// Error … status, features … command.
    std::uint8_t read_command_block(ata::Register place);
    void write_command_block(ata::Register place, std::uint8_t value);
    std::uint8_t read_alternate_status() const;
    void write_device_control(std::uint8_t value);
    std::uint8_t read_bus_master(unsigned place) const { return bus_master_.read(place); }
    void write_bus_master(unsigned place, std::uint8_t value);

    /// INTRQ.
    bool interrupt() const noexcept { return interrupt_; }
    /// As after power-on; the disks keep their content.
    void reset();

  private:
    void interrupt_changed() override;
    void dma_ready() override;

    IdeDisk* selected() const noexcept { return disks_[selected_].get(); }
    /// The device whose registers are read: device 0 answers for a missing device 1.
    const IdeDisk* answering() const noexcept { return selected() ? selected() : disks_[0].get(); }
    std::uint8_t status_without_selected() const noexcept;
    void diagnose();

    IdeChannelSurroundings surroundings_;
    std::array<std::unique_ptr<IdeDisk>, 2> disks_;
    IdeBusMaster bus_master_;
    unsigned selected_ = 0;
    std::uint8_t control_ = 0;
    bool interrupt_ = false;
};

}  // namespace outboard::sim
