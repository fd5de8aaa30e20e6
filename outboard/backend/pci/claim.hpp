// One process at a time takes, drives or gives back a device.
#pragma once

#include "outboard/backend/pci/inventory.hpp"
#include "outboard/base/fd.hpp"

namespace outboard {

/// While it lives no other process of this program may change who drives the device. It is a lock that the
/// kernel takes back when the process ends, however it ends (flock(2) on the device's folder in sysfs). Used
/// by one thread; movable.
class DeviceClaim {
  public:
    DeviceClaim() noexcept = default;
    /// Throws Error: busy when another process has claimed it.
    explicit DeviceClaim(const PciDevice& device);

  private:
    Fd folder_;
};

}  // namespace outboard
