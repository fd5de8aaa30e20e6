#include "outboard/drivers/ide/ide.hpp"

#include "outboard/base/error.hpp"
#include "outboard/drivers/ide/controller.hpp"

#include <utility>

namespace outboard::ide {

namespace {

Task<std::unique_ptr<Driver>> start(Device& device, RunLoop& loop, DriverOptions options) {
    const PciIdentity identity = device.config().identity();
    const ControllerQuirks* quirks = find_controller(identity);
    if (!quirks)
        refuse_device(device.name(), "it is no IDE controller",
                      "`outboard list` shows which driver fits a device");
    auto controller = std::make_unique<Controller>(device, loop, *quirks, std::move(options));
    co_await controller->start();
    co_return std::unique_ptr<Driver>(std::move(controller));
}

}  // namespace

const DriverDescription description{
    .name = "ide",
    .devices = devices,
    .start = start,
    .dma_address_bits = 32,
    .dma_bytes = 2 * ChannelEngine::dma_bytes,
};

}  // namespace outboard::ide
