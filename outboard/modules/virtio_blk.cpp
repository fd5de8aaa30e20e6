// The driver virtio-blk as a module.
#include "outboard/drivers/virtio_blk/virtio_blk.hpp"

#include "outboard/classes/driver_module.hpp"

OUTBOARD_DRIVER_MODULE("virtio-blk", outboard::virtio_blk::devices, outboard::virtio_blk::description);
