// What a device is called in the mark of a ublk device.
#pragma once

#include "outboard/backend/device_name.hpp"
#include "outboard/export/ublk/served_disk.hpp"

namespace outboard {

/// The mark of the device's disk 0. Throws Error for a PCI domain that does not fit.
ublk::ServedDisk device_mark(const DeviceName& device);

}  // namespace outboard
