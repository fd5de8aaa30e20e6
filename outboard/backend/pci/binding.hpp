// Taking a device from its kernel driver and giving it back.
#pragma once

#include "outboard/backend/pci/inventory.hpp"
#include "outboard/base/file.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace outboard {

/// How sysfs attributes are written. Tests put something there that does what the kernel would.
using AttributeWriter = std::function<void(const std::filesystem::path&, std::string_view)>;

/// What bind or restore did.
struct BindingChange {
    std::string before;  ///< the driver it found; empty for none
    std::string after;   ///< the driver it left; empty for none
};

/// Binds devices to vfio-pci by driver_override, and back. What a device had before is remembered in a small
/// file below HostPaths::run, so another process, or the same after a crash, can restore it; without the file
/// the kernel is asked to choose a driver again. Needs the rights to write to sysfs.
class Binder {
  public:
    explicit Binder(Inventory inventory = Inventory(), AttributeWriter write = write_attribute)
        : inventory_(std::move(inventory)), write_(std::move(write)) {}

    /// Gives the device to vfio-pci; a device that vfio-pci has already stays as it is. When the last step
    /// fails the old driver gets the device back. Throws Error: no such device; a bridge; no IOMMU; the
    /// module is missing; the device is in use, and by what; its group holds devices with other drivers, and
    /// which; not permitted.
    BindingChange bind(const PciAddress& address);

    /// Takes the device from vfio-pci and gives it to the driver it had before. A device that vfio-pci does
    /// not have stays as it is. Throws Error: no such device; a program still drives it, and which; the old
    /// driver is not there or refuses the device; not permitted.
    BindingChange restore(const PciAddress& address);

    /// Forgets a device that somebody else takes from vfio-pci, or that is gone: vfio-pci is not its choice
    /// any more. Nothing happens to one that is not remembered. Throws Error: not permitted.
    void let_go(const PciAddress& address);

  private:
    /// What a device had before it was bound to vfio-pci; empty texts for none.
    struct Before {
        std::string driver;
        std::string driver_override;
    };

    std::filesystem::path memory_path(const PciAddress& address) const;
    void remember(const PciDevice& device, const Before& before) const;
    std::optional<Before> recall(const PciAddress& address) const;
    void write(const char* action, const PciAddress& address, const std::filesystem::path& attribute,
               std::string_view text) const;
    void unbind(const char* action, const PciDevice& device) const;
    void bind_to(const char* action, const PciDevice& device, const std::string& driver) const;
    void undo_bind(const PciAddress& address, const Before& before) const;

    Inventory inventory_;
    AttributeWriter write_;
};

}  // namespace outboard
