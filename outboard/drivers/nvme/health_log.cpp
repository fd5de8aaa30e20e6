#include "outboard/drivers/nvme/health_log.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/base/endian.hpp"
#include "outboard/drivers/nvme/command.hpp"
#include "outboard/drivers/nvme/status.hpp"

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>

namespace outboard::nvme {

namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
constexpr int kelvin_of_0_celsius = 273;
constexpr std::uint64_t data_unit = 512'000;  ///< bytes

template <class T>
T number(std::span<const std::byte> bytes, std::size_t offset) {
    return read_at<Little<T>>(bytes, offset).value_or(T{});
}

/// A counter of 16 bytes.
std::uint64_t counter(std::span<const std::byte> bytes, std::size_t offset) {
    return number<std::uint64_t>(bytes, offset + 8) != 0 ? most : number<std::uint64_t>(bytes, offset);
}

std::uint64_t bytes_of(std::uint64_t units) {
    return units > most / data_unit ? most : units * data_unit;
}

}  // namespace

std::vector<std::string> describe_warnings(unsigned bits) {
    constexpr std::array<std::string_view, 6> words{"the spare capacity is low",
                                                    "the temperature is beyond a threshold",
                                                    "its reliability is degraded",
                                                    "the media are read only",
                                                    "the backup of volatile memory has failed",
                                                    "the persistent memory region is unreliable"};
    std::vector<std::string> warnings;
    for (std::size_t i = 0; i < words.size(); ++i)
        if ((bits >> i & 1) != 0)
            warnings.emplace_back(words[i]);
    return warnings;
}

DiskHealth parse_health_log(std::span<const std::byte, health_log_bytes> bytes) {
    const auto byte = [bytes](std::size_t offset) { return std::to_integer<unsigned>(bytes[offset]); };
    DiskHealth health;
    health.warnings = describe_warnings(byte(0));
    // 0 K is what a controller says that has no sensor.
    if (const int kelvin = number<std::uint16_t>(bytes, 1); kelvin != 0)
        health.temperature_celsius = kelvin - kelvin_of_0_celsius;
    health.spare_percent = byte(3);
    health.spare_threshold_percent = byte(4);
    health.used_percent = byte(5);
    health.bytes_read = bytes_of(counter(bytes, 32));
    health.bytes_written = bytes_of(counter(bytes, 48));
    health.read_commands = counter(bytes, 64);
    health.write_commands = counter(bytes, 80);
    health.busy_minutes = counter(bytes, 96);
    health.power_cycles = counter(bytes, 112);
    health.power_on_hours = counter(bytes, 128);
    health.unsafe_shutdowns = counter(bytes, 144);
    health.media_errors = counter(bytes, 160);
    health.logged_errors = counter(bytes, 176);
    return health;
}

std::vector<LoggedError> parse_error_log(std::span<const std::byte> bytes) {
    std::vector<LoggedError> errors;
    for (; bytes.size() >= error_entry_bytes; bytes = bytes.subspan(error_entry_bytes)) {
        const auto count = number<std::uint64_t>(bytes, 0);
        if (count == 0)
            break;
        // Bit 0 is the phase.
        LoggedError error{.number = count, .what = describe(Status(number<std::uint16_t>(bytes, 12) >> 1U))};
        const auto name_space = number<std::uint32_t>(bytes, 24);
        if (number<std::uint16_t>(bytes, 8) != 0 && name_space != 0 && name_space != all_namespaces) {
            error.block = number<std::uint64_t>(bytes, 16);
            error.disk = name_space;
        }
        errors.push_back(std::move(error));
    }
    return errors;
}

}  // namespace outboard::nvme
