#include "outboard/sim/models/nvme/logs.hpp"

#include "outboard/sim/models/nvme/features.hpp"

#include <algorithm>
#include <string_view>

namespace outboard::sim::nvme {

namespace {

/// Data units of the health log.
constexpr std::uint64_t thousands(std::uint64_t units) noexcept {
    return (units + 999) / 1000;
}

}  // namespace

void ErrorLog::add(ErrorEntry entry) noexcept {
    entry.count = ++count_;
    std::ranges::move_backward(entries_.begin(), entries_.end() - 1, entries_.end());
    entries_.front() = entry;
}

HealthLog make_health_log(const HealthCounters& counters, const ErrorLog& errors, bool temperature_warning) {
    HealthLog log{};
    log.critical_warning = temperature_warning ? warning_temperature_bit : 0;
    log.temperature = {static_cast<std::uint8_t>(temperature & 0xff),
                       static_cast<std::uint8_t>(temperature >> 8)};
    log.spare = 100;
    log.spare_threshold = 10;
    log.data_read.low = thousands(counters.units_read);
    log.data_written.low = thousands(counters.units_written);
    log.read_commands.low = counters.read_commands;
    log.write_commands.low = counters.write_commands;
    log.power_cycles.low = 1;
    log.unsafe_shutdowns.low = counters.unsafe_shutdowns;
    log.media_errors.low = counters.media_errors;
    log.error_entries.low = errors.count();
    return log;
}

FirmwareLog make_firmware_log() {
    FirmwareLog log{};
    log.active = 1;
    log.slots[0].fill(' ');
    std::ranges::copy(std::string_view(firmware_revision), log.slots[0].begin());
    return log;
}

}  // namespace outboard::sim::nvme
