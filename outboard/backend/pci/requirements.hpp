// What must hold before a device can be driven from user space; binding and opening ask for the same.
#pragma once

#include "outboard/backend/pci/inventory.hpp"

#include <string>
#include <vector>

namespace outboard {

/// The kernel driver that gives a device to user space.
inline constexpr const char* vfio_driver = "vfio-pci";

/// What to do on a machine without an IOMMU at work.
inline constexpr const char* iommu_remedy =
    "turn the IOMMU on in the firmware (VT-d or AMD-Vi) and, on Intel processors, boot with intel_iommu=on; "
    "in a virtual machine give it a virtual IOMMU";

/// The device's IOMMU group. Throws Error (unsupported) saying whether the machine has no IOMMU at work or
/// only this device is not behind it. `action` is what the message says was tried.
unsigned require_iommu_group(const std::string& action, const Inventory& inventory, const PciDevice& device);

/// Throws the Error (busy) that names the other members of the group which keep VFIO from using it.
[[noreturn]] void throw_group_obstacles(const std::string& action, const PciDevice& device,
                                        const std::vector<PciDevice>& obstacles);

}  // namespace outboard
