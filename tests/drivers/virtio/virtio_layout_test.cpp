// Where a virtio device says that its structures are, and what of that is believed.
#include "outboard/drivers/virtio/layout.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard::virtio {
namespace {

using ::testing::HasSubstr;

constexpr std::array<std::uint64_t, bar_count> bars{0, 4096, 0, 0, 16384, 0};

/// Configuration space with capabilities, one after the other from 0x40 on.
class ConfigBytes {
  public:
    ConfigBytes() : bytes_(256) {
        bytes_[0x06] = std::byte{0x10};
        bytes_[0x34] = std::byte{0x40};
    }
    ConfigBytes& structure(unsigned type, unsigned bar, std::uint32_t offset, std::uint32_t length,
                           std::uint32_t multiplier = 4) {
        const std::size_t size = type == 2 ? 20 : 16;
        put(at_, 0x09);
        put(at_ + 1, static_cast<unsigned>(at_ + size));
        put(at_ + 2, static_cast<unsigned>(size));
        put(at_ + 3, type);
        put(at_ + 4, bar);
        put32(at_ + 8, offset);
        put32(at_ + 12, length);
        if (type == 2)
            put32(at_ + 16, multiplier);
        last_ = at_;
        at_ += size;
        return *this;
    }
    const std::vector<std::byte>& get() {
        bytes_[last_ + 1] = std::byte{0};
        return bytes_;
    }

  private:
    void put(std::size_t offset, unsigned value) { bytes_[offset] = static_cast<std::byte>(value); }
    void put32(std::size_t offset, std::uint32_t value) {
        for (unsigned i = 0; i < 4; ++i)
            put(offset + i, value >> (8 * i) & 0xff);
    }

    std::vector<std::byte> bytes_;
    std::size_t at_ = 0x40;
    std::size_t last_ = 0;
};

TEST(VirtioLayout, FindsTheStructures) {
    ConfigBytes bytes;
    bytes.structure(1, 4, 0, 56)
        .structure(3, 4, 0x1000, 1)
        .structure(4, 4, 0x2000, 64)
        .structure(2, 4, 0x3000, 16);
    const auto layout = find_layout(bytes.get(), bars);
    ASSERT_TRUE(layout) << layout.error();
    EXPECT_EQ(layout->common, (Structure{.bar = 4, .offset = 0, .length = 56}));
    EXPECT_EQ(layout->device, (Structure{.bar = 4, .offset = 0x2000, .length = 64}));
    EXPECT_EQ(layout->notify_multiplier, 4U);
    EXPECT_EQ(notification_offset(*layout, 0), 0x3000U);
    EXPECT_EQ(notification_offset(*layout, 3), 0x300cU);
    EXPECT_EQ(notification_offset(*layout, 4), std::nullopt);
    EXPECT_EQ(notification_offset(*layout, 0xffff), std::nullopt);
}

TEST(VirtioLayout, TakesTheFirstThatIsInsideItsBar) {
    ConfigBytes bytes;
    bytes.structure(1, 4, 16384 - 52, 56)
        .structure(1, 2, 0, 56)
        .structure(1, 7, 0, 56)
        .structure(1, 4, 0xfffffff0, 0x40)
        .structure(1, 4, 0, 8)
        .structure(1, 4, 0x100, 4096)
        .structure(1, 4, 0, 56)
        .structure(3, 1, 0, 1)
        .structure(2, 1, 16, 2, 0);
    const auto layout = find_layout(bytes.get(), bars);
    ASSERT_TRUE(layout) << layout.error();
    EXPECT_EQ(layout->common.offset, 0x100U);
    EXPECT_FALSE(layout->device);
    EXPECT_EQ(notification_offset(*layout, 500), 16U);
}

TEST(VirtioLayout, SaysWhatIsMissing) {
    EXPECT_THAT(find_layout(std::vector<std::byte>(256), bars).error(), HasSubstr("no common configuration"));
    EXPECT_THAT(find_layout({}, bars).error(), HasSubstr("no common configuration"));
    ConfigBytes one;
    one.structure(1, 4, 0, 56);
    EXPECT_THAT(find_layout(one.get(), bars).error(), HasSubstr("no notification structure"));
    ConfigBytes two;
    two.structure(1, 4, 0, 56).structure(2, 4, 0x3000, 16);
    EXPECT_THAT(find_layout(two.get(), bars).error(), HasSubstr("no ISR structure"));
    ConfigBytes odd;
    odd.structure(1, 4, 0, 56).structure(2, 4, 0x3000, 16, 3).structure(3, 4, 0, 1);
    EXPECT_THAT(find_layout(odd.get(), bars).error(), HasSubstr("multiplier is odd"));
}

RC_GTEST_PROP(VirtioLayout, NeverLeavesItsBars, (const std::vector<std::uint8_t>& noise)) {
    std::vector<std::byte> bytes(256);
    for (std::size_t i = 0; i < noise.size() && i < bytes.size() - 0x34; ++i)
        bytes[0x34 + i] = static_cast<std::byte>(noise[i]);
    bytes[0x06] = std::byte{0x10};
    const auto layout = find_layout(bytes, bars);
    if (!layout)
        return;
    for (const Structure& structure : {layout->common, layout->notifications, layout->interrupt_status})
        RC_ASSERT(std::uint64_t{structure.offset} + structure.length <= bars[structure.bar]);
}

}  // namespace
}  // namespace outboard::virtio
