// Log pages of a controller: its health, and the commands that failed (NVM Express Base Specification 2.0,
// 5.16.1.2 and 5.16.1.3). Pure: the bytes are the device's word.
#pragma once

#include "outboard/classes/disk_health.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace outboard::nvme {

inline constexpr std::size_t health_log_bytes = 512;
inline constexpr std::size_t error_entry_bytes = 64;

/// What each bit of a Critical Warning says.
std::vector<std::string> describe_warnings(unsigned bits);

/// The health log; `errors` stays empty.
DiskHealth parse_health_log(std::span<const std::byte, health_log_bytes> bytes);

/// The entries of an error log, up to the first that is empty or incomplete.
std::vector<LoggedError> parse_error_log(std::span<const std::byte> bytes);

}  // namespace outboard::nvme
