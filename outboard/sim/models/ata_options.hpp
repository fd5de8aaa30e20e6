// Options that the models with ATA disks have in common, as a user states them.
#pragma once

#include "outboard/sim/model_options.hpp"
#include "outboard/sim/models/ide_disk.hpp"
#include "outboard/sim/storage.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace outboard::sim {

/// Throws Error (kind usage): `--option value` cannot be used.
[[noreturn]] void refuse_option(std::string_view option, const std::string& value, std::string_view cause);

/// Part number `index` of a list apart by commas as an option of its own; the last one holds for all after
/// it.
ModelOptions with_part(const ModelOptions& values, std::string_view name, std::size_t index);

/// `bad`: FIRST or FIRST+COUNT, by commas. Throws Error.
std::vector<BadSectors> parse_bad(const ModelOptions& values);

/// `size`, `sector`, `file`, `null` and `write-cache` for the disk at a place. Throws Error.
StorageOptions parse_storage(const ModelOptions& values, std::size_t place);

}  // namespace outboard::sim
