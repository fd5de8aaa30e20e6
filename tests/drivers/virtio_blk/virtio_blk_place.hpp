// Where the suite of the virtio-blk driver runs: on QEMU's device in the lab, and on the simulated one in
// many configurations.
#pragma once

#include <memory>

#include "tests/support/disk_place.hpp"

namespace outboard::test {

/// A device with a disk of at least 256 MiB.
std::unique_ptr<DiskPlace> make_virtio_blk_place();

}  // namespace outboard::test
