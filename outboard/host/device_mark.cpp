#include "outboard/host/device_mark.hpp"

#include "outboard/base/error.hpp"

namespace outboard {

ublk::ServedDisk device_mark(const DeviceName& device) {
    ublk::ServedDisk mark;
    if (!device.pci()) {
        mark.socket = ublk::socket_mark(device.full_socket());
        return mark;
    }
    const PciAddress& address = *device.pci();
    if (address.domain > ublk::ServedDisk::max_domain)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "serve",
                     .subject = device.text(),
                     .cause = "its PCI domain does not fit the mark of a ublk device",
                     .remedy = {}});
    mark.domain = address.domain;
    mark.bus = address.bus;
    mark.device = address.device;
    mark.function = address.function;
    return mark;
}

}  // namespace outboard
