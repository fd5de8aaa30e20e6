// IOMMU faults, read from the kernel log: the only place where a device that succeeded by its own account
// shows that its DMA was blocked.
#pragma once

#include "outboard/backend/pci/address.hpp"
#include "outboard/base/fd.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace outboard {

/// One DMA that the IOMMU blocked. Faults are a sign, not a count: Linux tells of about three within five
/// seconds and is silent about the others.
struct IommuFault {
    PciAddress device;   ///< the requester as the IOMMU saw it: behind a PCIe-to-PCI bridge, the bridge
    bool write = false;  ///< the device wanted to write memory; otherwise to read it
    std::uint64_t iova = 0;
    std::string reason;  ///< the IOMMU's words or flags
};

/// Reads a line of the kernel log in the form of the Intel ("DMAR: [DMA Write …") or the AMD driver ("AMD-Vi:
/// Event logged [IO_PAGE_FAULT …"); nothing when it is another line. Intel lines do not name the PCI domain:
/// it is taken to be 0.
std::optional<IommuFault> parse_iommu_fault(std::string_view line);

/// Follows the kernel log from the moment it is made. One thread.
class IommuFaultWatch {
  public:
    /// Throws Error (not_permitted) when the kernel log cannot be read.
    explicit IommuFaultWatch(const std::filesystem::path& log = "/dev/kmsg");

    /// Becomes readable when the log has new lines; owned by this object.
    int fd() const noexcept { return log_.get(); }

    /// The faults reported since the last call; never blocks. Throws Error when the log cannot be read.
    std::vector<IommuFault> take();
    /// The same, but for those of other devices.
    std::vector<IommuFault> take(const PciAddress& device);

  private:
    Fd log_;
};

}  // namespace outboard
