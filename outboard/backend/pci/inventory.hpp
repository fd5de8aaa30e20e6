// The PCI devices of this machine, as sysfs shows them.
#pragma once

#include "outboard/backend/pci/address.hpp"
#include "outboard/backend/pci/identity.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace outboard {

/// Where the kernel shows itself. Tests put a tree of their own there.
struct HostPaths {
    std::filesystem::path sys = "/sys";
    std::filesystem::path proc = "/proc";
    std::filesystem::path dev = "/dev";
    std::filesystem::path modules = "/lib/modules";
    std::filesystem::path run = "/run/outboard";  ///< what has to be remembered until the next boot
};

/// One BAR as the kernel placed it; size 0 when there is none.
struct PciResource {
    std::uint64_t start = 0;
    std::uint64_t size = 0;
    bool port_io = false;  ///< a port range, otherwise memory
};

/// A function as it was when it was looked at.
struct PciDevice {
    PciAddress address;
    PciIdentity identity;
    std::string driver;                   ///< the kernel driver bound to it; empty for none
    std::optional<unsigned> iommu_group;  ///< nothing when no IOMMU translates for it
    std::array<PciResource, 6> bars;
    std::vector<std::string> reset_methods;  ///< "flr", "bus", …; empty when the kernel cannot reset it
    std::filesystem::path path;              ///< its directory in sysfs, without symbolic links

    /// A PCI-to-PCI bridge (base class 06, sub-class 04): its driver manages no DMA of its own.
    bool is_bridge() const noexcept { return identity.base_class == 0x06 && identity.sub_class == 0x04; }
};

/// Reads sysfs anew with each call; keeps nothing.
class Inventory {
  public:
    explicit Inventory(HostPaths paths = {}) : paths_(std::move(paths)) {}

    const HostPaths& paths() const noexcept { return paths_; }

    /// Every function, by address. Throws Error (unsupported) when the machine shows no PCI bus.
    std::vector<PciDevice> devices() const;
    /// One function. Throws Error (not_found) that says how to find devices.
    PciDevice device(const PciAddress& address) const;
    /// The members of an IOMMU group, by address; empty when there is no such group.
    std::vector<PciDevice> group(unsigned number) const;
    /// True when some IOMMU translates: there are groups.
    bool has_iommu() const;

  private:
    HostPaths paths_;
};

/// True when VFIO lets a group be used although this member is in it: it has no driver, a VFIO driver, or one
/// that starts no DMA.
bool leaves_group_viable(const PciDevice& member);

/// The members of `device`'s IOMMU group that keep VFIO from using it, the device itself left out.
std::vector<PciDevice> group_obstacles(const Inventory& inventory, const PciDevice& device);

/// Such members for people: "0000:00:1f.3 (i801_smbus), 0000:00:1f.2 (ahci)".
std::string describe(const std::vector<PciDevice>& members);

}  // namespace outboard
