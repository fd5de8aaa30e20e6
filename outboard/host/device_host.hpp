// One device, opened and driven in this process: taken from its kernel driver, given back at the end.
#pragma once

#include "outboard/backend/device_name.hpp"
#include "outboard/backend/pci/claim.hpp"
#include "outboard/classes/driver.hpp"
#include "outboard/device/device.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace outboard {

struct DeviceHostOptions {
    DeviceName device;
    DriverOptions driver;
    std::size_t arena_bytes = 0;  ///< what exports and programs need; the driver's own need is added
    /// Called once the driver is known, before its arena is made: may change `driver` and `arena_bytes` by
    /// what this driver can. May be empty.
    std::function<void(const DriverDescription&, DeviceHostOptions&)> adapt{};
};

/// Made, used and destroyed on the thread of its loop. A PCI device that is not bound to vfio-pci is bound
/// first, and belongs to its old driver again after close(). A vfio-user device is only connected to.
class DeviceHost {
  public:
    /// Finds the driver, binds and opens the device, makes its arena and starts the driver. When one of these
    /// fails the device is as it was before. Throws Error; busy when another process is about the device.
    static Task<std::unique_ptr<DeviceHost>> open(RunLoop& loop, DeviceHostOptions options);
    DeviceHost(const DeviceHost&) = delete;
    DeviceHost& operator=(const DeviceHost&) = delete;
    DeviceHost(DeviceHost&&) = delete;
    DeviceHost& operator=(DeviceHost&&) = delete;
    ~DeviceHost() = default;

    Driver& driver() noexcept { return *driver_; }
    const DriverDescription& description() const noexcept { return *description_; }
    /// This process took the device from a kernel driver (or found it with none).
    bool bound_here() const noexcept { return bound_here_; }
    /// The driver's disk `index`. Throws Error (not_found) that lists what is there.
    BlockDevice& disk(unsigned index);

    /// Starts device and driver anew, with another arena or other options of the same device: the arena is
    /// made before it is known what disks there are. Every queue must be gone, and every BlockDevice is
    /// another one afterwards. Throws Error; then it is closed, and the device as it was before open().
    Task<void> restart(RunLoop& loop, DeviceHostOptions options);

    /// Brings the device to rest and closes it; with `hand_back` its old driver gets it (a PCI device). Every
    /// queue must be gone. Throws Error when something of that fails; the rest is done all the same.
    Task<void> close(bool hand_back);

  private:
    DeviceHost() = default;
    void take(const PciAddress& address);
    Task<void> start(RunLoop& loop, DeviceHostOptions options);
    Task<void> start_or_undo(RunLoop& loop, DeviceHostOptions options);

    DeviceName name_;
    DeviceClaim claim_;
    const DriverDescription* description_ = nullptr;
    bool bound_here_ = false;
    std::unique_ptr<Device> device_;
    std::unique_ptr<Driver> driver_;
};

/// A line for people: "2.0 GiB  QEMU HARDDISK  QM00001".
std::string describe_disk(const BlockInfo& info);

/// A size for people: "32 GiB", "1.5 MiB", "512 bytes".
std::string format_bytes(std::uint64_t bytes);

}  // namespace outboard
