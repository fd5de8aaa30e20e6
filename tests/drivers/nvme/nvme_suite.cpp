// What is particular to the NVMe driver; what all drivers of disks do: disk_suite.cpp.
#include <algorithm>
#include <cstddef>
#include <optional>

#include "tests/support/disk_load.hpp"
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::test {
namespace {

using ::testing::IsEmpty;

constexpr std::uint64_t mebibyte = 1U << 20;

TEST(NvmeSuite, SaysWhatItsNamespacesAre) {
    Ours ours;
    ASSERT_FALSE(ours.disks().empty());
    for (BlockDevice* const disk : ours.disks()) {
        const BlockInfo& info = disk->info();
        EXPECT_FALSE(info.model.empty());
        EXPECT_FALSE(info.serial.empty());
        EXPECT_GE(info.capacity, 256 * mebibyte);
        EXPECT_TRUE(info.block_size == 512 || info.block_size == 4096);
        EXPECT_GE(info.max_transfer, 4096U);
        EXPECT_GE(info.queue_depth, 1);
        EXPECT_FALSE(info.rotational);
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(NvmeSuite, TellsItsHealthAtWork) {
    Ours ours;
    ours.open();
    constexpr unsigned reads = 16;
    const DmaSpan data = ours.memory(0, std::min<std::size_t>(mebibyte / reads, ours.info().max_transfer));
    const std::optional<DiskHealth> before = ours.health();
    ASSERT_TRUE(before.has_value());
    EXPECT_THAT(before->warnings, IsEmpty());
    EXPECT_GT(before->temperature_celsius.value_or(0), 0);
    for (unsigned i = 0; i < reads; ++i)
        ASSERT_EQ(ours.run(BlockOperation::read, i * data.length, data), BlockStatus::ok);
    const std::optional<DiskHealth> after = ours.health();
    ASSERT_TRUE(after.has_value());
    // Data is counted in units of 512,000 bytes, rounded up.
    EXPECT_GE(after->read_commands, before->read_commands.value() + reads);
    EXPECT_GE(after->bytes_read.value() + 512'000, before->bytes_read.value() + reads * data.length);
    EXPECT_EQ(after->write_commands, before->write_commands);
    EXPECT_THAT(ours.told, IsEmpty());
}

}  // namespace
}  // namespace outboard::test
