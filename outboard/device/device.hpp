// An opened device: what a driver is written against, whatever the backend.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/device/config_space.hpp"
#include "outboard/device/dma_arena.hpp"
#include "outboard/device/interrupt.hpp"
#include "outboard/device/region.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace outboard {

/// Owns one opened device. Everything it hands out must go before it. All functions throw Error unless they
/// say otherwise; set-up is done by one thread.
class Device {
  public:
    /// Opens a device by name: a full BDF ("0000:00:04.0"), bound to vfio-pci already, or "vfio-user:PATH"
    /// for one that a server offers on a UNIX socket.
    static std::unique_ptr<Device> open(std::string_view name);

    /// A device on a backend of the caller's: tests and simulations.
    explicit Device(std::unique_ptr<Backend> backend);
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    Device(Device&&) = delete;
    Device& operator=(Device&&) = delete;
    ~Device();

    const std::string& name() const noexcept { return backend_->name(); }

    /// PCI configuration space and the capabilities found in it.
    ConfigSpace& config() noexcept { return config_; }

    /// A BAR, with all of it mapped that can be. Throws Error when the device does not have it.
    Region region(RegionIndex index);
    /// True when the device has that region.
    bool has_region(RegionIndex index) const { return backend_->region_info(index).size > 0; }

    /// Vectors of one kind that can reach this process.
    unsigned interrupt_count(InterruptKind kind) const { return backend_->interrupt_info(kind).count; }
    /// Enables vectors 0 … count-1 of one kind. Call it once the driver can take an interrupt. MSI and MSI-X
    /// are memory writes by the device: they need bus mastering on.
    std::vector<Interrupt> enable_interrupts(InterruptKind kind, unsigned count = 1);
    void disable_interrupts(InterruptKind kind);
    /// For a driver that polls: INTx-disable in the command register is set, MSI and MSI-X stay off
    /// (PCI 3.0, 6.2.2).
    void poll_only();

    /// The device may (or may no longer) start transactions of its own. VFIO opens a device with it off.
    void set_bus_master(bool on);

    /// Resets the device by the means the kernel knows; Error with kind unsupported when there is none. DMA
    /// stops, configuration space is restored, all device state is lost.
    void reset();
    bool resettable() const noexcept { return backend_->resettable(); }

    /// Creates the arena. Once per device, before any DMA.
    DmaArena& create_arena(const DmaArenaOptions& options);
    /// The same with an arena that another process made.
    DmaArena& adopt_arena(GrantedArena granted);
    DmaArena& arena();

    Backend& backend() noexcept { return *backend_; }

  private:
    void require_no_arena() const;

    std::unique_ptr<Backend> backend_;
    ConfigSpace config_;
    std::map<RegionIndex, std::vector<MappedArea>> mapped_;
    std::unique_ptr<DmaArena> arena_;
};

}  // namespace outboard
