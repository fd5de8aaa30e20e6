// Options that the models with ATA disks have in common, as a user states them.
#pragma once

#include "outboard/sim/model_options.hpp"
#include "outboard/sim/models/ide_disk.hpp"
#include "outboard/sim/storage.hpp"

#include <cstddef>
#include <vector>

namespace outboard::sim {

/// `bad`: FIRST or FIRST+COUNT, by commas. Throws Error.
std::vector<BadSectors> parse_bad(const ModelOptions& values);

/// `size`, `sector`, `file`, `null` and `write-cache` for the disk at one of `disks` places. Throws Error.
StorageOptions parse_storage(const ModelOptions& values, std::size_t place, std::size_t disks);

}  // namespace outboard::sim
