#include "outboard/backend/vfio/vfio_backend.hpp"

#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/requirements.hpp"
#include "outboard/backend/vfio/ioctl.hpp"
#include "outboard/backend/vfio/iommu_container.hpp"
#include "outboard/base/error.hpp"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <unistd.h>

namespace outboard::vfio {

namespace {

void require_binding(const PciDevice& device) {
    if (device.driver == vfio_driver)
        return;
    const std::string name = device.address.text();
    throw Error({.kind = ErrorKind::not_found,
                 .action = "open",
                 .subject = name,
                 .cause = device.driver.empty()
                              ? std::string("no driver is bound to it; vfio-pci must be")
                              : fmt::format("{} is bound to it, not vfio-pci", device.driver),
                 .remedy = fmt::format("run `outboard bind {}` as root", name)});
}

Fd open_group(const std::string& name, unsigned number) {
    const std::string path = fmt::format("/dev/vfio/{}", number);
    Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (fd)
        return fd;
    const int error = errno;
    ErrorParts parts{.kind = errno_kind(error),
                     .action = fmt::format("open {} for", path),
                     .subject = name,
                     .cause = errno_text(error),
                     .remedy = {}};
    if (error == EACCES || error == EPERM)
        parts.remedy = fmt::format("run as root, or give the group to your user: `chown {} {}` as root",
                                   ::getuid(), path);
    else if (error == EBUSY)
        parts.remedy = "another program uses the device, or another device of its IOMMU group: stop it first";
    else if (error == ENOENT)
        parts.remedy =
            "without this file VFIO has no IOMMU group for the device: is /dev a devtmpfs here, and is "
            "vfio-pci loaded?";
    throw Error(std::move(parts));
}

void require_viable(int group, const Inventory& inventory, const PciDevice& device) {
    vfio_group_status status{};
    status.argsz = sizeof status;
    if (const int result = call(group, VFIO_GROUP_GET_STATUS, &status); result < 0)
        throw_errno(-result, "ask about the IOMMU group of", device.address.text());
    if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0)
        throw_group_obstacles("open", device, group_obstacles(inventory, device));
}

}  // namespace

std::unique_ptr<VfioBackend> VfioBackend::open(const PciAddress& address) {
    const Inventory inventory;
    const PciDevice device = inventory.device(address);
    const std::string name = address.text();
    const unsigned number = require_iommu_group("open", inventory, device);
    require_binding(device);
    auto container = std::make_unique<IommuContainer>(name);
    Fd group = open_group(name, number);
    require_viable(group.get(), inventory, device);
    const int group_fd = group.get();
    container->take_group(std::move(group));
    const int fd = call(group_fd, VFIO_GROUP_GET_DEVICE_FD, name.c_str());
    if (fd < 0)
        throw_errno(-fd, "open", name, "see the kernel log (`dmesg`) for what vfio-pci says");
    return std::make_unique<VfioBackend>(std::move(container), Fd(fd), name);
}

}  // namespace outboard::vfio
