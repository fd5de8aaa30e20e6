// What outlives a driver: the opened device and the memory that it reaches.
#pragma once

#include "outboard/backend/device_name.hpp"
#include "outboard/base/fd.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace outboard {

/// Memory for DMA as a host is told of it.
struct HeldArena {
    int fd = -1;  ///< of the holder
    std::uint64_t bytes = 0;
    std::uint64_t iova = 0;
};

/// One device. Never touches a register of it but those for bus mastering, interrupts and reset. Used by one
/// thread. Functions throw Error.
class HeldDevice {
  public:
    /// A PCI device is claimed, bound to vfio-pci and opened, and goes back to its old driver in release(). A
    /// vfio-user device is only connected to, once for each host.
    static std::unique_ptr<HeldDevice> open(const DeviceName& name);

    /// One that another process held: what that one's kept() and bound_here() gave, in copies, and its arena
    /// (fd does not matter).
    static std::unique_ptr<HeldDevice> adopt(const DeviceName& name, std::vector<Fd> kept, HeldArena arena,
                                             bool bound_here);

    /// The device is in the machine. Nobody can say so of a vfio-user device, so that always is.
    static bool in_machine(const DeviceName& name);

    HeldDevice() = default;
    HeldDevice(const HeldDevice&) = delete;
    HeldDevice& operator=(const HeldDevice&) = delete;
    HeldDevice(HeldDevice&&) = delete;
    HeldDevice& operator=(HeldDevice&&) = delete;
    virtual ~HeldDevice() = default;

    /// The descriptor with which a host drives it.
    virtual Fd descriptor() = 0;

    /// Makes the memory and lets the device reach it, once.
    virtual void make_arena(std::uint64_t bytes, unsigned address_bits) = 0;
    /// fd is -1 before.
    virtual HeldArena arena() const noexcept = 0;

    /// The descriptors that keep device and memory as they are; only once there is memory.
    virtual std::vector<int> kept() const = 0;
    /// release() will give it to its old driver.
    virtual bool bound_here() const noexcept = 0;

    /// The driver is gone: no DMA, no interrupts. Says nothing of a device that cannot be told.
    virtual void quiet() noexcept = 0;
    /// Resets it where the kernel knows how; false where it does not.
    virtual bool reset() = 0;

    /// An eventfd that fires when the kernel wants the device back: somebody unbinds it, or it is about to
    /// leave the machine, or has left it. The device is waited for until it is closed. -1: none.
    virtual int release_notice() const noexcept = 0;
    /// An eventfd that fires when the device has reported an error, by PCI Express AER. -1: none.
    virtual int error_notice() const noexcept = 0;
    /// False: it has left the machine.
    virtual bool present() noexcept = 0;

    /// Closes it and gives it back to whoever had it.
    virtual void release() = 0;
    /// Closes it and leaves it to whoever takes it.
    virtual void let_go() = 0;
};

}  // namespace outboard
