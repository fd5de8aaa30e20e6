// What is particular to the virtio-blk driver; what all drivers of disks do: disk_suite.cpp.
#include "tests/support/disk_load.hpp"
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::test {
namespace {

using ::testing::IsEmpty;

constexpr std::uint64_t mebibyte = 1U << 20;

TEST(VirtioBlkSuite, SaysWhatItsDiskIs) {
    Ours ours;
    ASSERT_EQ(ours.disks().size(), 1U);
    const BlockInfo& info = ours.disk().info();
    EXPECT_FALSE(info.model.empty());
    EXPECT_FALSE(info.serial.empty());
    EXPECT_GE(info.capacity, 256 * mebibyte);
    EXPECT_TRUE(info.block_size == 512 || info.block_size == 4096);
    EXPECT_GE(info.max_transfer, 4096U);
    EXPECT_GE(info.queue_depth, 1);
    EXPECT_GE(info.max_segments, 1U);
    EXPECT_FALSE(info.rotational);
    EXPECT_THAT(ours.told, IsEmpty());
    fmt::print("{} descriptors, {} segments, {} bytes a request\n", info.queue_depth, info.max_segments,
               info.max_transfer);
}

}  // namespace
}  // namespace outboard::test
