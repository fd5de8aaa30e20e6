// The virtio-blk driver on QEMU's device: its suite, and beside the kernel's own driver on the same disk.
#include "guest_virtio_blk.hpp"

#include <memory>
#include <string>

#include "beside_the_kernel.hpp"

namespace outboard {
namespace guest {
namespace {

/// The device: the lab's first one, or what GUEST_VIRTIO_BLK names.
const PciAddress& device() {
    static const PciAddress address = address_from("GUEST_VIRTIO_BLK", "0000:01:00.0");
    return address;
}

}  // namespace

std::shared_ptr<test::Ours> open_ours(unsigned) {
    auto ours = std::make_shared<test::Ours>();
    ours->open();
    return ours;
}

test::KernelDisk open_kernels(unsigned) {
    return {"disk of " + device().text(), [](const std::string& name, int) {
                return name.starts_with("vd") && test::is_below(name, device().text());
            }};
}

}  // namespace guest

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return std::make_unique<guest::LabVirtioBlk>(guest::device());
}

}  // namespace outboard
