// Where the suite of the NVMe driver runs: on QEMU's controller in the lab, and on the simulated one in many
// configurations.
#pragma once

#include <memory>

#include "tests/support/disk_place.hpp"

namespace outboard::test {

/// A controller whose first namespace has at least 256 MiB.
std::unique_ptr<DiskPlace> make_nvme_place();

}  // namespace outboard::test
