// What a disk says of its own health.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace outboard {

/// A failed command that the device remembers.
struct LoggedError {
    std::uint64_t number = 0;  ///< counts all errors of the device's life, from 1 on
    std::string what;          ///< "unrecovered read error (status 0281h)"
    std::optional<std::uint64_t> block{};
    std::optional<std::uint32_t> disk{};  ///< the namespace's number
};

/// The state of a device, all its disks together; what it does not tell is nothing. The numbers are the
/// device's word: counters that go beyond 64 bits are as large as can be.
struct DiskHealth {
    std::vector<std::string> warnings;  ///< what needs its owner, in words; none: it is well
    std::optional<int> temperature_celsius{};
    std::optional<unsigned> spare_percent{};            ///< of the spare capacity that is left
    std::optional<unsigned> spare_threshold_percent{};  ///< below it the device warns
    std::optional<unsigned> used_percent{};             ///< of the life it was made for; may be beyond 100
    std::optional<std::uint64_t> bytes_read{};
    std::optional<std::uint64_t> bytes_written{};
    std::optional<std::uint64_t> read_commands{};
    std::optional<std::uint64_t> write_commands{};
    std::optional<std::uint64_t> busy_minutes{};
    std::optional<std::uint64_t> power_cycles{};
    std::optional<std::uint64_t> power_on_hours{};
    std::optional<std::uint64_t> unsafe_shutdowns{};
    std::optional<std::uint64_t> media_errors{};
    std::optional<std::uint64_t> logged_errors{};  ///< of its life; `errors` holds the last of them
    std::vector<LoggedError> errors;               ///< newest first
};

}  // namespace outboard
