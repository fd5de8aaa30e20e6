#include "outboard/drivers/nvme/nvme.hpp"

#include "outboard/drivers/nvme/controller.hpp"

#include <utility>

namespace outboard::nvme {

namespace {

/// Mass storage, non-volatile memory, NVM Express I/O controller (PCI Code and ID Assignment, 1.2).
std::string_view match(const PciIdentity& identity) noexcept {
    const bool fits =
        identity.base_class == 0x01 && identity.sub_class == 0x08 && identity.programming_interface == 0x02;
    return fits ? "NVM Express controller" : std::string_view();
}

Task<std::unique_ptr<Driver>> start(Device& device, RunLoop& loop, DriverOptions options) {
    auto controller = std::make_unique<Controller>(device, loop, std::move(options));
    Task<void> starting = controller->start();
    co_await std::move(starting);
    co_return std::unique_ptr<Driver>(std::move(controller));
}

}  // namespace

const DriverDescription description{
    .name = "nvme",
    .match = match,
    .start = start,
    .dma_address_bits = 64,
    .dma_bytes = Controller::dma_bytes,
    .dma_bytes_per_queue = IoQueue::dma_bytes,
};

}  // namespace outboard::nvme
