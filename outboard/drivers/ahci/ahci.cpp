#include "outboard/drivers/ahci/ahci.hpp"

#include "outboard/drivers/ahci/controller.hpp"

#include <utility>

namespace outboard::ahci {

namespace {

Task<std::unique_ptr<Driver>> start(Device& device, RunLoop& loop, DriverOptions options) {
    auto controller = std::make_unique<Controller>(device, loop, std::move(options));
    Task<void> starting = controller->start();
    co_await std::move(starting);
    co_return std::unique_ptr<Driver>(std::move(controller));
}

}  // namespace

const DriverDescription description{
    .name = "ahci",
    .devices = devices,
    .start = start,
    // An HBA without 64-bit addresses reaches the same memory.
    .dma_address_bits = 32,
    .dma_bytes = Controller::dma_bytes,
};

}  // namespace outboard::ahci
