// What a simulated PCI device is written against: derive from PciModel, say what the device is, and answer
// register accesses. docs/sim.md shows how in one sitting.
#pragma once

#include "outboard/sim/config_space_model.hpp"
#include "outboard/sim/dma_memory.hpp"
#include "outboard/sim/fault_injector.hpp"
#include "outboard/sim/fault_port.hpp"
#include "outboard/sim/interrupts.hpp"
#include "outboard/sim/msix_table.hpp"
#include "outboard/sim/pci_description.hpp"
#include "outboard/sim/shared_bar.hpp"
#include "outboard/sim/timers.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <span>

namespace outboard::sim {

/// What a model found when it looked for work in its shared memory.
enum class Polled {
    worked,   ///< there was some: look again at once
    nothing,  ///< look again soon, less and less often while nothing comes
    asleep,   ///< do not look until the next message of the client: the device is off, or shares nothing
};

/// A device. All its functions are called by one thread, that of the server; what a model throws as
/// std::exception fails the client's access with EIO.
class PciModel {
  public:
    /// Throws Error when the description is wrong.
    explicit PciModel(const PciDescription& description);
    PciModel(const PciModel&) = delete;
    PciModel& operator=(const PciModel&) = delete;
    PciModel(PciModel&&) = delete;
    PciModel& operator=(PciModel&&) = delete;
    virtual ~PciModel() = default;

    // ---- what a model implements ----

    /// One read on the bus: `width` is 1, 2, 4 or 8 bytes, `offset` a multiple of it, and both lie inside the
    /// BAR. Shared areas, the MSI-X table and its pending bits never come here. Higher bits of the result
    /// than the width has are dropped.
    virtual std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned width) = 0;
    /// One write likewise; `value` has no bits beyond the width.
    virtual void write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) = 0;
    /// Everything is as after power-on. The line is low, nothing pending, and all timers cancelled already;
    /// configuration space stays as it is, as with a reset by VFIO.
    virtual void reset() = 0;
    /// Looks at shared memory (doorbells). Does at most a bounded amount of work: messages wait meanwhile.
    virtual Polled poll() { return Polled::asleep; }
    /// A client has written to configuration space; the register changes are in config() already.
    virtual void config_written(std::size_t offset, std::size_t size) {
        static_cast<void>(offset);
        static_cast<void>(size);
    }

    // ---- what a model uses, and the server ----

    const PciDescription& description() const noexcept { return description_; }
    ConfigSpaceModel& config() noexcept { return config_; }
    Interrupts& interrupts() noexcept { return interrupts_; }
    DmaMemory& dma() noexcept { return dma_; }
    Timers& timers() noexcept { return timers_; }
    /// Asked at every point at which something can go wrong. The library itself asks for interrupts, for the
    /// data that DmaMemory::read_data and write_data move, for removal and for resets by a client.
    FaultInjector& faults() noexcept { return faults_; }
    /// Lets clients order faults, of the kinds that it is told to offer.
    FaultPort& fault_port() noexcept { return fault_port_; }
    const FaultPort& fault_port() const noexcept { return fault_port_; }
    /// The memory of a BAR that has shared areas, from the BAR's start; empty for others. What lies outside
    /// the areas is the model's own.
    std::span<std::byte> shared(unsigned bar) const noexcept {
        return shared_[bar] ? shared_[bar]->bytes() : std::span<std::byte>();
    }

    // ---- for the server ----

    MsixTable& msix_table() noexcept { return msix_table_; }
    /// The descriptor of shared(bar), or -1.
    int shared_fd(unsigned bar) const noexcept { return shared_[bar] ? shared_[bar]->fd() : -1; }
    /// A reset that a client has asked for. False when it failed.
    bool reset_device();
    /// The device was pulled out: every register reads as all ones and it does nothing any more. The next
    /// client finds it plugged in again.
    bool removed() const noexcept { return removed_; }
    void remove() noexcept;
    void plug_in();

  private:
    PciDescription description_;
    FaultInjector faults_;
    FaultPort fault_port_{faults_};
    ConfigSpaceModel config_;
    Timers timers_;
    Interrupts interrupts_;
    MsixTable msix_table_;
    DmaMemory dma_;
    bool removed_ = false;
    std::array<std::unique_ptr<SharedBar>, bar_count> shared_;
};

}  // namespace outboard::sim
