// Log pages: errors, health, firmware (NVM Express base specification 1.4, 5.14.1).
#pragma once

#include "outboard/sim/models/nvme/data.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace outboard::sim::nvme {

inline constexpr std::size_t error_log_entries = 64;
inline constexpr char firmware_revision[] = "1.0";

/// What is counted for the health log; lives as long as the power does.
struct HealthCounters {
    std::uint64_t units_read = 0;  ///< of 512 bytes
    std::uint64_t units_written = 0;
    std::uint64_t read_commands = 0;  ///< Compare counts as one
    std::uint64_t write_commands = 0;
    std::uint64_t media_errors = 0;
    std::uint64_t unsafe_shutdowns = 0;
};

/// The last commands that failed, newest first.
class ErrorLog {
  public:
    /// `entry.count` is set here.
    void add(ErrorEntry entry) noexcept;
    std::uint64_t count() const noexcept { return count_; }
    const std::array<ErrorEntry, error_log_entries>& entries() const noexcept { return entries_; }

  private:
    std::array<ErrorEntry, error_log_entries> entries_{};
    std::uint64_t count_ = 0;
};

HealthLog make_health_log(const HealthCounters& counters, const ErrorLog& errors, bool temperature_warning);
FirmwareLog make_firmware_log();

}  // namespace outboard::sim::nvme
