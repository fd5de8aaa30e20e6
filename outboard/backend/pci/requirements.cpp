#include "outboard/backend/pci/requirements.hpp"

#include "outboard/base/error.hpp"

#include <fmt/format.h>

namespace outboard {

unsigned require_iommu_group(const std::string& action, const Inventory& inventory, const PciDevice& device) {
    if (device.iommu_group)
        return *device.iommu_group;
    if (inventory.has_iommu())
        throw Error({.kind = ErrorKind::unsupported,
                     .action = action,
                     .subject = device.address.text(),
                     .cause = "no IOMMU translates for this device, so nothing would confine its DMA",
                     .remedy = "use a slot behind the machine's IOMMU"});
    throw Error({.kind = ErrorKind::unsupported,
                 .action = action,
                 .subject = device.address.text(),
                 .cause = "no IOMMU is at work on this machine, so nothing would confine the device's DMA",
                 .remedy = iommu_remedy});
}

void throw_group_obstacles(const std::string& action, const PciDevice& device,
                           const std::vector<PciDevice>& obstacles) {
    throw Error(
        {.kind = ErrorKind::busy,
         .action = action,
         .subject = device.address.text(),
         .cause = fmt::format("its IOMMU group {} holds other devices with kernel drivers: {}",
                              device.iommu_group.value_or(0), describe(obstacles)),
         .remedy =
             "one group is one protection domain: bind those to vfio-pci or unbind them too, or move the "
             "device to another slot"});
}

}  // namespace outboard
