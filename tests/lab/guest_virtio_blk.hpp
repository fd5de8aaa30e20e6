// A virtio disk of QEMU's, taken from the kernel for a while.
#pragma once

#include "outboard/drivers/virtio_blk/virtio_blk.hpp"

#include "lab_place.hpp"
#include "tests/support/disk_place.hpp"

namespace outboard::guest {

class LabVirtioBlk final : public LabPlace<test::DiskPlace> {
  public:
    using LabPlace::LabPlace;
    const DriverDescription& driver() const override { return virtio_blk::description; }
};

}  // namespace outboard::guest
