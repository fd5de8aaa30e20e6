// Who uses a device right now.
#pragma once

#include "outboard/backend/pci/inventory.hpp"

#include <string>
#include <vector>

namespace outboard {

/// Everything that would lose its footing if the device's driver went, one text each: "/dev/sda1 is mounted
/// at /mnt",
/// "/dev/sda2 is active swap", "dm-0 is built on /dev/sda3", "network interface eth0 is up", "process 812
/// (Xorg) has /dev/dri/card0 open". Processes of other users are seen only by root. Empty when nobody uses
/// it.
std::vector<std::string> device_users(const Inventory& inventory, const PciDevice& device);

/// The same for a disk that belongs to no PCI device, by its name: "ublkb0".
std::vector<std::string> disk_users(const Inventory& inventory, const std::string& disk);

/// The texts in one: "A; B".
std::string join(const std::vector<std::string>& texts);

}  // namespace outboard
