// What the AHCI tests inside a lab machine add to the suites: the HBA given by the kernel and back, and the
// same disks under the kernel's driver.
#pragma once

#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/iommu_faults.hpp"

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "tests/drivers/ahci/ahci_load.hpp"
#include "tests/support/kernel_disk.hpp"
#include <linux/hdreg.h>
#include <sys/ioctl.h>

namespace outboard::guest {

/// The HBA: the lab's ICH9, or what GUEST_AHCI names.
inline const PciAddress controller = [] {
    const char* const name = std::getenv("GUEST_AHCI");
    return PciAddress::parse(name != nullptr ? name : "0000:00:05.0");
}();

/// Takes the HBA from the kernel and gives it back when it goes.
class LabAhci final : public test::AhciPlace {
  public:
    LabAhci() { Binder().bind(controller); }
    LabAhci(const LabAhci&) = delete;
    LabAhci& operator=(const LabAhci&) = delete;
    LabAhci(LabAhci&&) = delete;
    LabAhci& operator=(LabAhci&&) = delete;
    ~LabAhci() override { Binder().restore(controller); }

    std::unique_ptr<Device> open() override { return Device::open(controller.text()); }
    std::string complaints() override {
        return faults_.take(controller).empty() ? "" : "the IOMMU blocked DMA of the HBA";
    }
    std::chrono::milliseconds load_time() const override { return std::chrono::seconds(2); }
    /// QEMU answers every error of its disk image with ABRT, which blames the device, not the medium.
    BlockStatus bad_status() const override { return BlockStatus::device_error; }
    std::string bad_words() const override { return "the device aborted the command (ABRT)"; }

  private:
    IommuFaultWatch faults_;
};

/// The same disk under the kernel's driver.
class Kernels final : public test::KernelDisk {
  public:
    /// Waits until the kernel has the disk with this serial number.
    explicit Kernels(std::string_view serial)
        : KernelDisk("disk with the serial number " + std::string(serial),
                     [serial](const std::string& name, int descriptor) {
                         hd_driveid identity{};
                         return test::is_below(name, controller.text()) &&
                                ::ioctl(descriptor, HDIO_GET_IDENTITY, &identity) == 0 &&
                                std::string_view(reinterpret_cast<const char*>(identity.serial_no),
                                                 sizeof identity.serial_no)
                                        .find(serial) != std::string_view::npos;
                     }) {}
};

}  // namespace outboard::guest
