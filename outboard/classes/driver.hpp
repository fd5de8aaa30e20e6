// What every driver is to the process that hosts it.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "outboard/classes/block_device.hpp"
#include "outboard/device/config_space.hpp"
#include "outboard/device/device.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

namespace outboard {

/// A driver at work on one device. Made by DriverDescription::start.
class Driver {
  public:
    Driver() = default;
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;
    Driver(Driver&&) = delete;
    Driver& operator=(Driver&&) = delete;
    virtual ~Driver() = default;

    /// The disks found, in the driver's own order (for IDE: primary master, primary slave, secondary master, …).
    /// They live as long as the driver.
    virtual std::vector<BlockDevice*> block_devices() { return {}; }

    /// Brings the device to rest: caches flushed, interrupts off, no DMA. Every queue must be gone. Throws Error.
    virtual Task<void> shut_down() = 0;
};

/// An entry in the table of drivers.
struct DriverDescription {
    std::string_view name;
    /// The controller's name when this driver can drive it, an empty text otherwise.
    std::string_view (*match)(const PciIdentity& identity) noexcept;
    /// Resets the device and finds out what is behind it. Device and loop outlive the driver. Throws Error.
    Task<std::unique_ptr<Driver>> (*start)(Device& device, RunLoop& loop);
};

}  // namespace outboard
