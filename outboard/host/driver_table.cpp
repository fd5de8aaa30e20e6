#include "outboard/host/driver_table.hpp"

#include "outboard/base/error.hpp"
#include "outboard/drivers/ahci/ahci.hpp"
#include "outboard/drivers/edu/edu.hpp"
#include "outboard/drivers/ide/ide.hpp"
#include "outboard/drivers/nvme/nvme.hpp"
#include "outboard/drivers/virtio_blk/virtio_blk.hpp"

#include <array>

#include <fmt/format.h>

namespace outboard {

std::span<const DriverDescription* const> built_in_drivers() noexcept {
    static constexpr std::array drivers{&ide::description, &nvme::description, &ahci::description,
                                        &virtio_blk::description, &edu::description};
    return drivers;
}

const DriverDescription* find_driver(const PciIdentity& identity) noexcept {
    for (const DriverDescription* const driver : built_in_drivers())
        if (!driver->match(identity).empty())
            return driver;
    return nullptr;
}

const DriverDescription& require_driver(const std::string& device, const PciIdentity& identity,
                                        std::string_view name) {
    const DriverDescription* found = nullptr;
    std::string names;
    for (const DriverDescription* const driver : built_in_drivers()) {
        names += fmt::format("{}{}", names.empty() ? "" : ", ", driver->name);
        if (driver->name == name)
            found = driver;
    }
    if (name.empty())
        found = find_driver(identity);
    else if (!found)
        throw Error({.kind = ErrorKind::not_found,
                     .action = "drive",
                     .subject = device,
                     .cause = fmt::format("there is no driver '{}'; there are {}", name, names),
                     .remedy = {}});
    if (found && !found->match(identity).empty())
        return *found;
    throw Error({.kind = ErrorKind::unsupported,
                 .action = "drive",
                 .subject = device,
                 .cause = fmt::format("{} {:04x}:{:04x} (class {:02x}{:02x}{:02x})",
                                      found ? fmt::format("the driver {} does not know", found->name)
                                            : "no driver of this program knows",
                                      identity.vendor, identity.device, identity.base_class,
                                      identity.sub_class, identity.programming_interface),
                 .remedy = "`outboard list` shows who could drive what"});
}

}  // namespace outboard
