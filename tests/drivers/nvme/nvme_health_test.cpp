// What is made of the health log and the error log.
#include "outboard/drivers/nvme/health_log.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::nvme {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <std::size_t Size>
void put(std::array<std::byte, Size>& page, std::size_t offset, std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i)
        page[offset + i] = static_cast<std::byte>(value >> (8 * i));
}

TEST(NvmeHealth, ReadsEveryField) {
    std::array<std::byte, health_log_bytes> log{};
    put(log, 1, 313, 2);
    put(log, 3, 99, 1);
    put(log, 4, 10, 1);
    put(log, 5, 130, 1);
    for (std::size_t i = 0; i < 10; ++i)
        put(log, 32 + 16 * i, 100 + i, 8);
    const DiskHealth health = parse_health_log(log);
    EXPECT_THAT(health.warnings, IsEmpty());
    EXPECT_EQ(health.temperature_celsius, 40);
    EXPECT_EQ(health.spare_percent, 99U);
    EXPECT_EQ(health.spare_threshold_percent, 10U);
    EXPECT_EQ(health.used_percent, 130U);
    EXPECT_EQ(health.bytes_read, 51'200'000U);
    EXPECT_EQ(health.bytes_written, 51'712'000U);
    EXPECT_EQ(health.read_commands, 102U);
    EXPECT_EQ(health.write_commands, 103U);
    EXPECT_EQ(health.busy_minutes, 104U);
    EXPECT_EQ(health.power_cycles, 105U);
    EXPECT_EQ(health.power_on_hours, 106U);
    EXPECT_EQ(health.unsafe_shutdowns, 107U);
    EXPECT_EQ(health.media_errors, 108U);
    EXPECT_EQ(health.logged_errors, 109U);
}

TEST(NvmeHealth, NamesEachWarning) {
    std::array<std::byte, health_log_bytes> log{};
    put(log, 0, 0xff, 1);
    EXPECT_EQ(parse_health_log(log).warnings.size(), 6U) << "and none for bits that mean nothing yet";
    put(log, 0, 0b1010, 1);
    EXPECT_THAT(parse_health_log(log).warnings,
                ElementsAre("the temperature is beyond a threshold", "the media are read only"));
}

TEST(NvmeHealth, CountersDoNotWrap) {
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    std::array<std::byte, health_log_bytes> log{};
    log.fill(std::byte{0xff});
    const DiskHealth health = parse_health_log(log);
    EXPECT_EQ(health.bytes_read, most);
    EXPECT_EQ(health.media_errors, most);
    put(log, 40, 0, 8);
    put(log, 32, most / 512'000 + 1, 8);
    EXPECT_EQ(parse_health_log(log).bytes_read, most);
    put(log, 32, most / 512'000, 8);
    EXPECT_EQ(parse_health_log(log).bytes_read, most / 512'000 * 512'000);
}

TEST(NvmeHealth, AControllerWithoutASensorHasNoTemperature) {
    EXPECT_EQ(parse_health_log(std::array<std::byte, health_log_bytes>{}).temperature_celsius, std::nullopt);
}

TEST(NvmeHealth, ReadsTheErrorLog) {
    std::array<std::byte, 3 * error_entry_bytes> log{};
    put(log, 0, 7, 8);
    put(log, 8, 1, 2);                 // of an I/O queue
    put(log, 12, 0x281U << 1 | 1, 2);  // with a phase
    put(log, 16, 1234, 8);
    put(log, 24, 2, 4);
    put(log, 64, 6, 8);
    put(log, 64 + 12, 0x002U << 1, 2);
    put(log, 64 + 24, 0xffffffff, 4);
    const std::vector<LoggedError> errors = parse_error_log(log);
    ASSERT_EQ(errors.size(), 2U) << "the third is empty";
    EXPECT_EQ(errors[0].number, 7U);
    EXPECT_EQ(errors[0].what, "unrecovered read error (status 281h)");
    EXPECT_EQ(errors[0].block, 1234U);
    EXPECT_EQ(errors[0].disk, 2U);
    EXPECT_EQ(errors[1].number, 6U);
    EXPECT_EQ(errors[1].block, std::nullopt) << "an admin command has none";
    EXPECT_EQ(errors[1].disk, std::nullopt);
}

TEST(NvmeHealth, HalfAnEntryIsNone) {
    std::array<std::byte, 2 * error_entry_bytes> log{};
    log.fill(std::byte{1});
    EXPECT_EQ(parse_error_log(std::span(log).first(2 * error_entry_bytes - 1)).size(), 1U);
    EXPECT_THAT(parse_error_log(std::span(log).first(error_entry_bytes - 1)), IsEmpty());
}

}  // namespace
}  // namespace outboard::nvme
