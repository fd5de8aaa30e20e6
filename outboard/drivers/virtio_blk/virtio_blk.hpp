// Virtio block devices.
#pragma once

#include "outboard/classes/driver.hpp"
#include "outboard/drivers/virtio/transport.hpp"
#include "outboard/drivers/virtio_blk/request.hpp"

#include <array>

namespace outboard::virtio_blk {

inline constexpr std::array devices{
    PciMatch{.vendor = virtio::pci_vendor,
             .device = virtio::device_id(device_type),
             .name = "virtio block device"},
    PciMatch{.vendor = virtio::pci_vendor, .device = transitional_id, .name = "virtio block device"}};

/// The entry for the table of drivers. Options it knows: command_timeout (default 30 s), reset_timeout
/// (default 10 s), write_cache, completion (adaptive is as interrupt), queues.
extern const DriverDescription description;

}  // namespace outboard::virtio_blk
