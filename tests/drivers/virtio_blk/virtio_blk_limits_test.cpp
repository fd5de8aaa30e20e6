// What follows for requests from what a virtio disk says of itself.
#include "outboard/drivers/virtio_blk/limits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard::virtio_blk {
namespace {

using ::testing::HasSubstr;

TEST(VirtioBlkLimits, OfAnOrdinaryDisk) {
    const auto limits = make_limits({.sectors = 1 << 21,
                                     .seg_max = 254,
                                     .block_size = 512,
                                     .physical_block_exponent = 3,
                                     .max_discard_sectors = 4194303,
                                     .max_write_zeroes_sectors = 0xffffffff},
                                    256, true);
    ASSERT_TRUE(limits);
    EXPECT_EQ(limits->capacity, std::uint64_t{1} << 30);
    EXPECT_EQ(limits->physical_block_size, 4096U);
    EXPECT_EQ(limits->max_transfer, 1U << 20);
    EXPECT_EQ(limits->max_segments, 126U);
    EXPECT_EQ(limits->depth, 256);
    EXPECT_EQ(limits->max_discard, 4194303U * 512);
    EXPECT_EQ(limits->max_write_zeroes, 0xffffffffU / 512 * 512);
}

TEST(VirtioBlkLimits, WithoutTablesARequestTakesThreeDescriptors) {
    const auto limits = make_limits({.sectors = 8, .seg_max = 254}, 8, false);
    ASSERT_TRUE(limits);
    EXPECT_EQ(limits->max_segments, 6U);
    EXPECT_EQ(limits->depth, 2);
    EXPECT_THAT(make_limits({.sectors = 8, .seg_max = 1}, 2, false).error(), HasSubstr("too short"));
    EXPECT_THAT(make_limits({.sectors = 8}, 0, true).error(), HasSubstr("too short"));
}

TEST(VirtioBlkLimits, ATableIsNoLongerThanTheRing) {
    const auto limits = make_limits({.sectors = 8, .seg_max = 254}, 8, true);
    ASSERT_TRUE(limits);
    EXPECT_EQ(limits->max_segments, 6U);
    EXPECT_EQ(limits->depth, 8);
    const auto none = make_limits({.sectors = 8, .seg_max = 1}, 2, true);
    ASSERT_FALSE(none);
    EXPECT_THAT(none.error(), HasSubstr("too short"));
}

TEST(VirtioBlkLimits, RefusesWhatCannotBe) {
    EXPECT_THAT(make_limits({.sectors = 8, .block_size = 520}, 8, true).error(), HasSubstr("block size"));
    EXPECT_THAT(make_limits({.sectors = 8, .block_size = 256}, 8, true).error(), HasSubstr("block size"));
    EXPECT_THAT(make_limits({.sectors = 7, .block_size = 4096}, 8, true).error(), HasSubstr("empty"));
    EXPECT_THAT(make_limits({.sectors = ~std::uint64_t{0}}, 8, true).error(), HasSubstr("64 bits"));
    EXPECT_THAT(make_limits({.sectors = 8, .size_max = 100}, 8, true).error(),
                HasSubstr("less than a block"));
    EXPECT_EQ(make_limits({.sectors = 8, .physical_block_exponent = 200}, 8, true)->physical_block_size,
              512U);
}

/// Whatever the segments are, a request within the limits has no more elements than the device takes.
RC_GTEST_PROP(VirtioBlkLimits, RequestsWithinThemFit,
              (std::uint32_t size_max, std::uint16_t seg_max, std::uint8_t size_shift, bool indirect)) {
    const auto queue_size = static_cast<std::uint16_t>(2U << size_shift % 8);
    const auto limits = make_limits({.sectors = 1 << 21, .size_max = size_max % 65536, .seg_max = seg_max},
                                    queue_size, indirect);
    if (!limits)
        return;
    RC_ASSERT(limits->max_transfer % limits->block_size == 0);
    RC_ASSERT(limits->max_data_elements <= (seg_max == 0 ? 1U : seg_max));
    RC_ASSERT(limits->max_data_elements + 2 <= std::min<std::uint32_t>(max_elements, queue_size));
    // The worst case: every segment but the last is one byte more than whole elements.
    std::uint64_t elements = 0;
    std::uint64_t left = limits->max_transfer;
    for (std::uint32_t i = 0; i < limits->max_segments && left > 0; ++i) {
        const std::uint64_t length = i + 1 == limits->max_segments ? left : std::min<std::uint64_t>(left, 1);
        elements += (length + limits->max_element_bytes - 1) / limits->max_element_bytes;
        left -= length;
    }
    RC_ASSERT(elements <= limits->max_data_elements);
}

}  // namespace
}  // namespace outboard::virtio_blk
