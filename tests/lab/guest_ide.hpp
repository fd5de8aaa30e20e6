// What the IDE tests inside a lab machine add to the suites: the controller given by the kernel and back, and
// the same disks under the kernel's driver.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "lab_place.hpp"
#include "tests/drivers/ide/ide_load.hpp"
#include "tests/support/kernel_disk.hpp"
#include <fmt/format.h>
#include <linux/hdreg.h>
#include <sys/ioctl.h>

namespace outboard::guest {

/// The controller: the lab's PIIX3, or what GUEST_IDE names.
inline const PciAddress controller = address_from("GUEST_IDE", "0000:00:04.0");

class LabIde final : public LabPlace<test::IdePlace> {
  public:
    LabIde() : LabPlace(controller) {}
    std::size_t largest_pio() const override { return std::size_t{64} << 10; }
    /// QEMU answers every error of its disk image with ABRT, which blames the device, not the medium.
    BlockStatus bad_status() const override { return BlockStatus::device_error; }
    std::string bad_words() const override { return "the device aborted the command (ABRT)"; }
};

/// The same disk under the kernel's driver.
class Kernels final : public test::KernelDisk {
  public:
    /// Waits until the kernel has the disk with this serial number.
    explicit Kernels(std::string_view serial) : Kernels(serial, std::make_unique<hd_driveid>()) {}

    std::string model() const { return text(identity_->model, sizeof identity_->model); }
    std::string serial() const { return text(identity_->serial_no, sizeof identity_->serial_no); }
    std::string firmware() const { return text(identity_->fw_rev, sizeof identity_->fw_rev); }

  private:
    Kernels(std::string_view serial, std::unique_ptr<hd_driveid> identity)
        : KernelDisk(fmt::format("disk with the serial number {}", serial),
                     [&](const std::string& name, int descriptor) {
                         return name.starts_with("sd") &&
                                ::ioctl(descriptor, HDIO_GET_IDENTITY, identity.get()) == 0 &&
                                text(identity->serial_no, sizeof identity->serial_no) == serial;
                     }),
          identity_(std::move(identity)) {}

    static std::string text(const unsigned char* characters, std::size_t size) {
        std::string result(reinterpret_cast<const char*>(characters), size);
        result.erase(result.find_last_not_of(' ') + 1);
        result.erase(0, result.find_first_not_of(' '));
        return result;
    }

    std::unique_ptr<hd_driveid> identity_;
};

}  // namespace outboard::guest
