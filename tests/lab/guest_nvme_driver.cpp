// The NVMe driver on QEMU's controller: its suite, and beside the kernel's own driver on the same disk.
#include "outboard/drivers/nvme/nvme.hpp"

#include <memory>
#include <string>

#include "beside_the_kernel.hpp"
#include "lab_place.hpp"

namespace outboard {
namespace guest {
namespace {

/// The controller: the lab's first one, or what GUEST_NVME names.
const PciAddress& controller() {
    static const PciAddress address = address_from("GUEST_NVME", "0000:01:00.0");
    return address;
}

class LabNvme final : public LabPlace<test::DiskPlace> {
  public:
    LabNvme() : LabPlace(controller()) {}
    const DriverDescription& driver() const override { return nvme::description; }
};

}  // namespace

std::shared_ptr<test::Ours> open_ours(unsigned) {
    auto ours = std::make_shared<test::Ours>();
    ours->open();
    return ours;
}

/// The first namespace.
test::KernelDisk open_kernels(unsigned) {
    return {"namespace of " + controller().text(), [](const std::string& name, int) {
                return name.starts_with("nvme") && name.ends_with("n1") &&
                       test::is_below(name, controller().text());
            }};
}

}  // namespace guest

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return std::make_unique<guest::LabNvme>();
}

}  // namespace outboard
