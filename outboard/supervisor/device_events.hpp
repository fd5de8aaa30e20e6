// Which PCI devices come into the machine and leave it, as the kernel tells.
#pragma once

#include "outboard/backend/pci/address.hpp"

#include <memory>
#include <optional>
#include <vector>

struct udev;
struct udev_monitor;

namespace outboard {

struct DeviceEvent {
    PciAddress device;
    bool plugged = false;  ///< otherwise it has left; one that somebody has open leaves when that is over
};

/// Follows the kernel's own events (libudev, source "kernel"), so that it needs no udevd. Used by one thread.
class DeviceEvents {
  public:
    /// Events count from now on. Throws Error.
    DeviceEvents();

    /// Becomes readable when there are events; owned by this object.
    int fd() const noexcept;

    /// Those since the last call; never blocks. Nothing: the kernel had more to tell than there was room for,
    /// and what has become of each device has to be looked up.
    std::optional<std::vector<DeviceEvent>> take();

  private:
    struct Release {
        void operator()(udev* context) const noexcept;
        void operator()(udev_monitor* monitor) const noexcept;
    };

    std::unique_ptr<udev, Release> context_;
    std::unique_ptr<udev_monitor, Release> monitor_;
};

}  // namespace outboard
