// What lies on a disk, told from its first bytes: asked before a program overwrites it.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace outboard {

/// As many bytes as known_content wants to see; fewer are fine on a smaller disk.
inline constexpr std::size_t content_probe_bytes = std::size_t{72} * 1024;

/// The name of the partition table, file system, volume manager, swap or encryption that starts here, or an
/// empty text when the bytes look like nothing known. `start` are the first bytes of the disk; they are
/// somebody else's word, and are only compared.
std::string_view known_content(std::span<const std::byte> start) noexcept;

/// Reads the first content_probe_bytes of a disk, or all of a smaller one. Throws Error (io) when they cannot
/// be read. Takes that much of the arena for the time.
Task<std::vector<std::byte>> read_disk_start(RunLoop& loop, BlockDevice& disk);

}  // namespace outboard
