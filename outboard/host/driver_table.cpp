#include "outboard/host/driver_table.hpp"

#include "outboard/drivers/ahci/ahci.hpp"
#include "outboard/drivers/edu/edu.hpp"
#include "outboard/drivers/ide/ide.hpp"
#include "outboard/drivers/nvme/nvme.hpp"
#include "outboard/drivers/virtio_blk/virtio_blk.hpp"

#include <array>

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

}  // namespace outboard
