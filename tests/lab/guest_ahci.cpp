// The AHCI driver on QEMU's ICH9: its suite, and beside the kernel's own driver on the same disks.
#include "guest_ahci.hpp"

#include <memory>
#include <string>
#include <string_view>

#include "beside_the_kernel.hpp"
#include "tests/drivers/ahci/ahci_load.hpp"
#include <fmt/format.h>
#include <linux/hdreg.h>
#include <sys/ioctl.h>

namespace outboard {
namespace guest {
namespace {

std::string serial_of(unsigned number) {
    return number == 0 ? "ahci0" : "ahci2";
}

}  // namespace

std::shared_ptr<test::Ours> open_ours(unsigned number) {
    auto ours = std::make_shared<test::OurAhci>();
    ours->open(serial_of(number));
    return ours;
}

test::KernelDisk open_kernels(unsigned number) {
    const std::string serial = serial_of(number);
    return {fmt::format("disk with the serial number {}", serial),
            [&](const std::string& name, int descriptor) {
                hd_driveid identity{};
                return test::is_below(name, controller.text()) &&
                       ::ioctl(descriptor, HDIO_GET_IDENTITY, &identity) == 0 &&
                       std::string_view(reinterpret_cast<const char*>(identity.serial_no),
                                        sizeof identity.serial_no)
                           .contains(serial);
            }};
}

}  // namespace guest

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return make_ahci_place();
}

std::unique_ptr<test::AhciPlace> test::make_ahci_place() {
    return std::make_unique<guest::LabAhci>();
}

}  // namespace outboard
