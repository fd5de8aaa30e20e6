// Whole small files, as sysfs and procfs have them.
#pragma once

#include "outboard/base/fd.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace outboard {

/// Opens `path` with open(2) flags (O_CLOEXEC is added). Throws Error with the action "open".
Fd open_file(const std::filesystem::path& path, int flags, unsigned mode = 0644);

/// The whole text of a file without trailing white space, or nothing when it cannot be read.
std::optional<std::string> try_read_text(const std::filesystem::path& path);

/// The same; throws Error when the file cannot be read.
std::string read_text(const std::filesystem::path& path);

/// Writes `text` in one write(2) to an existing file, as sysfs attributes want it. Throws Error when it
/// fails.
void write_attribute(const std::filesystem::path& path, std::string_view text);

}  // namespace outboard
