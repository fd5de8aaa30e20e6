#include "outboard/drivers/virtio_blk/virtio_blk.hpp"

#include "outboard/drivers/virtio_blk/disk.hpp"

#include <utility>

namespace outboard::virtio_blk {

namespace {

Task<std::unique_ptr<Driver>> start(Device& device, RunLoop& loop, DriverOptions options) {
    auto disk = std::make_unique<Disk>(device, loop, std::move(options));
    Task<void> starting = disk->start();
    co_await std::move(starting);
    co_return std::unique_ptr<Driver>(std::move(disk));
}

}  // namespace

const DriverDescription description{
    .name = "virtio-blk",
    .devices = devices,
    .start = start,
    .dma_address_bits = 64,
    .dma_bytes = Disk::dma_bytes,
    .dma_bytes_per_queue = DiskQueue::dma_bytes,
};

}  // namespace outboard::virtio_blk
