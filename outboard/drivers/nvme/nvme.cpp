#include "outboard/drivers/nvme/nvme.hpp"

#include "outboard/drivers/nvme/controller.hpp"

#include <utility>

namespace outboard::nvme {

namespace {

Task<std::unique_ptr<Driver>> start(Device& device, RunLoop& loop, DriverOptions options) {
    auto controller = std::make_unique<Controller>(device, loop, std::move(options));
    Task<void> starting = controller->start();
    co_await std::move(starting);
    co_return std::unique_ptr<Driver>(std::move(controller));
}

}  // namespace

const DriverDescription description{
    .name = "nvme",
    .devices = devices,
    .start = start,
    .dma_address_bits = 64,
    .dma_bytes = Controller::dma_bytes,
    .dma_bytes_per_queue = IoQueue::dma_bytes,
};

}  // namespace outboard::nvme
