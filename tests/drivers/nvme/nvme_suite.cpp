// What is particular to the NVMe driver; what all drivers of disks do: disk_suite.cpp.
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

}  // namespace
}  // namespace outboard::test
