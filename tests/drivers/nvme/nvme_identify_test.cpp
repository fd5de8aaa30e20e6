// What is made of identify data and statuses.
#include "outboard/drivers/nvme/identify.hpp"
#include "outboard/drivers/nvme/status.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard::nvme {
namespace {

using Page = std::array<std::byte, identify_bytes>;

void put(Page& page, std::size_t offset, std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i)
        page[offset + i] = static_cast<std::byte>(value >> (8 * i));
}
void put(Page& page, std::size_t offset, std::size_t size, std::string_view text) {
    for (std::size_t i = 0; i < size; ++i)
        page[offset + i] = static_cast<std::byte>(i < text.size() ? text[i] : ' ');
}

Page controller() {
    Page page{};
    put(page, 4, 20, "S/N 42");
    put(page, 24, 40, "A model");
    put(page, 64, 8, "1.0");
    put(page, 77, 5, 1);             // MDTS
    put(page, 88, 3000000, 4);       // RTD3E
    put(page, 92, 1U << 8, 4);       // OAES
    put(page, 256, 1U << 8, 2);      // OACS
    put(page, 512, 0x66, 1);         // SQES
    put(page, 513, 0x44, 1);         // CQES
    put(page, 516, 3, 4);            // NN
    put(page, 520, 1U << 2 | 8, 2);  // ONCS
    put(page, 525, 1, 1);            // VWC
    return page;
}

Page name_space() {
    Page page{};
    put(page, 0, 1000, 8);         // NSZE
    put(page, 25, 1, 1);           // NLBAF: two formats
    put(page, 26, 1, 1);           // FLBAS: the second
    put(page, 128, 9U << 16, 4);   // LBAF0: 512
    put(page, 132, 12U << 16, 4);  // LBAF1: 4096
    return page;
}

TEST(NvmeIdentify, ReadsAController) {
    const auto identity = parse_controller(controller());
    ASSERT_TRUE(identity.has_value());
    EXPECT_EQ(*identity, (ControllerIdentity{.model = "A model",
                                             .serial = "S/N 42",
                                             .firmware = "1.0",
                                             .max_transfer = 131072,
                                             .namespaces = 3,
                                             .shutdown_time_us = 3000000,
                                             .doorbell_buffers = true,
                                             .dataset_management = true,
                                             .write_zeroes = true,
                                             .write_cache = true,
                                             .namespace_events = true}));
}

TEST(NvmeIdentify, RefusesControllersThatHaveNoDisks) {
    Page page = controller();
    put(page, 111, 2, 1);
    EXPECT_FALSE(parse_controller(page)) << "a discovery controller";
    page = controller();
    put(page, 512, 0x77, 1);
    EXPECT_FALSE(parse_controller(page)) << "submission entries of 128 bytes only";
    page = controller();
    put(page, 513, 0x33, 1);
    EXPECT_FALSE(parse_controller(page)) << "completion entries of 8 bytes only";
}

TEST(NvmeIdentify, ReadsANamespace) {
    Page page = name_space();
    EXPECT_EQ(parse_namespace(7, page).value(),
              (NamespaceIdentity{.id = 7, .blocks = 1000, .block_size = 4096, .physical_block_size = 4096}));
    put(page, 26, 0, 1);
    put(page, 24, 1U << 4, 1);  // NSFEAT.OPTPERF
    put(page, 64, 7, 2);        // NPWG: 8 blocks
    EXPECT_EQ(parse_namespace(7, page).value(),
              (NamespaceIdentity{.id = 7, .blocks = 1000, .block_size = 512, .physical_block_size = 4096}));
    put(page, 64, 6, 2);  // seven blocks are no power of two
    EXPECT_EQ(parse_namespace(7, page)->physical_block_size, 512U);
}

TEST(NvmeIdentify, RefusesNamespacesThatItCannotDrive) {
    Page page = name_space();
    put(page, 0, 0, 8);
    EXPECT_FALSE(parse_namespace(1, page)) << "no blocks";
    page = name_space();
    put(page, 26, 2, 1);
    EXPECT_FALSE(parse_namespace(1, page)) << "a format that is not there";
    page = name_space();
    put(page, 132, 12U << 16 | 8, 4);
    EXPECT_FALSE(parse_namespace(1, page)) << "metadata";
    page = name_space();
    put(page, 132, 40U << 16, 4);
    EXPECT_FALSE(parse_namespace(1, page)) << "blocks of a tebibyte";
    page = name_space();
    put(page, 0, ~std::uint64_t{0}, 8);
    EXPECT_FALSE(parse_namespace(1, page)) << "more bytes than 64 bits count";
}

TEST(NvmeIdentify, ReadsAListUpToItsEnd) {
    Page page{};
    put(page, 0, 1, 4);
    put(page, 4, 5, 4);
    put(page, 8, 4, 4);
    EXPECT_EQ(parse_namespace_list(page), (std::vector<std::uint32_t>{1, 5})) << "4 is out of order";
    EXPECT_TRUE(parse_namespace_list(Page{}).empty());
}

RC_GTEST_PROP(NvmeIdentify, TakesAnyBytes, ()) {
    Page page{};
    const auto bytes =
        *rc::gen::container<std::vector<std::uint8_t>>(600, rc::gen::arbitrary<std::uint8_t>());
    for (std::size_t i = 0; i < bytes.size(); ++i)
        page[i] = static_cast<std::byte>(bytes[i]);
    if (const auto controller = parse_controller(page))
        RC_ASSERT(controller->max_transfer % 4096 == 0U);
    if (const auto found = parse_namespace(1, page)) {
        RC_ASSERT(found->block_size == 512U || found->block_size == 4096U);
        RC_ASSERT(found->blocks <= ~std::uint64_t{0} / found->block_size);
    }
    const auto ids = parse_namespace_list(page);
    RC_ASSERT(std::ranges::is_sorted(ids));
}

TEST(NvmeStatus, SaysWhatTheCallerIsTold) {
    const auto of = [](unsigned type_and_code) {
        return block_status(Status(static_cast<std::uint16_t>(type_and_code)));
    };
    EXPECT_EQ(of(0), BlockStatus::ok);
    EXPECT_EQ(of(0x001), BlockStatus::not_supported);
    EXPECT_EQ(of(0x004), BlockStatus::device_error);
    EXPECT_EQ(of(0x00b), BlockStatus::removed);
    EXPECT_EQ(of(0x020), BlockStatus::not_supported);
    EXPECT_EQ(of(0x080), BlockStatus::out_of_range);
    EXPECT_EQ(of(0x281), BlockStatus::media_error);
    EXPECT_EQ(of(0x280), BlockStatus::media_error);
    EXPECT_EQ(of(0x7ff), BlockStatus::device_error);
}

TEST(NvmeStatus, TriesAgainWhatMayGoBetter) {
    EXPECT_TRUE(worth_retrying(Status(0x006)));
    EXPECT_FALSE(worth_retrying(Status(0x4006))) << "the controller says not to";
    EXPECT_FALSE(worth_retrying(Status(0x281))) << "the controller has tried that itself";
    EXPECT_FALSE(worth_retrying(Status(0x080)));
}

TEST(NvmeStatus, IsPutIntoWords) {
    EXPECT_EQ(describe(Status(0x4281)), "unrecovered read error (status 281h, do not retry)");
    EXPECT_EQ(describe(Status(0x3ff)), "failed (status 3ffh)");
}

}  // namespace
}  // namespace outboard::nvme
