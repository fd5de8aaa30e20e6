// A disk under the virtio-blk driver for a while.
#pragma once

#include "outboard/drivers/virtio_blk/virtio_blk.hpp"

#include <memory>
#include <utility>

#include "tests/drivers/virtio_blk/virtio_blk_place.hpp"
#include "tests/support/disk_load.hpp"

namespace outboard::test {

class OurVirtioBlk final : public Ours {
  public:
    OurVirtioBlk() : OurVirtioBlk(std::shared_ptr(make_virtio_blk_place())) {}
    explicit OurVirtioBlk(const std::shared_ptr<DiskPlace>& where) : OurVirtioBlk(where, where->options()) {}
    OurVirtioBlk(std::shared_ptr<DiskPlace> where, DriverOptions options)
        : Ours(virtio_blk::description, std::move(where), std::move(options)) {}
};

}  // namespace outboard::test
