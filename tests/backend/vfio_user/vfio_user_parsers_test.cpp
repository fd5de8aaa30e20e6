// The pure functions that read a server's answers.
#include "outboard/backend/vfio_user/info.hpp"
#include "outboard/backend/vfio_user/version.hpp"
#include "outboard/base/bytes.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <rapidcheck/gtest.h>

namespace outboard::vfio_user {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t page = 4096;

template <class T>
void append(Bytes& bytes, const T& value) {
    std::ranges::copy(bytes_of(value), std::back_inserter(bytes));
}

// ---- version ----

Bytes version_body(std::string_view json, std::uint16_t major = 0, std::uint16_t minor = 1) {
    Bytes bytes;
    append(bytes, Version{.major = major, .minor = minor});
    std::ranges::copy(std::as_bytes(std::span(json)), std::back_inserter(bytes));
    return bytes;
}

TEST(VfioUserVersion, OursIsJsonWithAZeroByte) {
    const std::string text = version_proposal();
    ASSERT_EQ(text.back(), '\0');
    const auto document = nlohmann::json::parse(std::string_view(text).substr(0, text.size() - 1));
    EXPECT_EQ(document["capabilities"]["max_msg_fds"], 32);
    EXPECT_EQ(document["capabilities"]["max_data_xfer_size"], 1 << 20);
    EXPECT_EQ(document["capabilities"]["twin_socket"]["supported"], true);
    EXPECT_EQ(document["capabilities"]["write_multiple"], true);
}

TEST(VfioUserVersion, DefaultsHoldWhereNothingIsSaid) {
    for (const std::string_view text :
         {std::string_view(), std::string_view("\0", 1), std::string_view("{}"),
          std::string_view(R"({"capabilities": {}})"), std::string_view("{}\0garbage", 10),
          std::string_view(R"({"capabilities": {"migration": {"pgsize": 4096}, "new": [1, {}]}, "x": 1})")}) {
        const auto version = parse_version(version_body(text), 0);
        ASSERT_TRUE(version) << version.error();
        EXPECT_EQ(version->max_descriptors, 1U);
        EXPECT_EQ(version->max_transfer_bytes, 1U << 20);
        EXPECT_EQ(version->max_dma_maps, 65535U);
        EXPECT_EQ(version->dma_page_size, page);
        EXPECT_FALSE(version->write_multi);
        EXPECT_FALSE(version->twin_socket);
    }
}

TEST(VfioUserVersion, CapabilitiesAreReadAndCutToWhatIsPossible) {
    const auto version = parse_version(
        version_body(R"({"capabilities": {"max_msg_fds": 1000, "max_data_xfer_size": 18446744073709551615,
            "max_dma_maps": 18446744073709551615, "pgsizes": 2097152, "write_multiple": true,
            "twin_socket": {"supported": true, "fd_index": 2}}})"),
        3);
    ASSERT_TRUE(version) << version.error();
    EXPECT_EQ(version->max_descriptors, 253U);
    EXPECT_EQ(version->max_transfer_bytes, 1U << 20);
    EXPECT_EQ(version->max_dma_maps, 0xffffffffU);
    EXPECT_EQ(version->dma_page_size, 2097152U);
    EXPECT_TRUE(version->write_multi);
    EXPECT_EQ(version->twin_socket, 2U);
    // A page smaller than this process's own is of no use to it.
    EXPECT_EQ(parse_version(version_body(R"({"capabilities": {"pgsizes": 512}})"), 0)->dma_page_size, page);
}

TEST(VfioUserVersion, DepthCostsNoStack) {
    const std::string deep = std::string(500000, '[') + std::string(500000, ']');
    EXPECT_TRUE(parse_version(version_body("{\"capabilities\": {\"new\": " + deep + "}}"), 0));
}

TEST(VfioUserVersion, ATwinSocketThatIsNotSupportedIsNone) {
    for (const char* const text :
         {R"({"capabilities": {"twin_socket": {}}})",
          R"({"capabilities": {"twin_socket": {"supported": false}}})",
          R"({"capabilities": {"twin_socket": {"supported": false, "fd_index": 9}}})"}) {
        const auto version = parse_version(version_body(text), 0);
        ASSERT_TRUE(version) << version.error();
        EXPECT_FALSE(version->twin_socket);
    }
}

class VfioUserVersionGarbage : public testing::TestWithParam<const char*> {};

TEST_P(VfioUserVersionGarbage, IsRefused) {
    EXPECT_FALSE(parse_version(version_body(GetParam()), 1));
}

INSTANTIATE_TEST_SUITE_P(
    Texts, VfioUserVersionGarbage,
    testing::Values(
        "{", "[]", "null", "1", "\xff\xfe", "{\"capabilities\"", R"({"capabilities": []})",
        R"({"capabilities": {"max_msg_fds": -1}})", R"({"capabilities": {"max_msg_fds": 1.5}})",
        R"({"capabilities": {"max_msg_fds": "8"}})", R"({"capabilities": {"max_data_xfer_size": 0}})",
        R"({"capabilities": {"max_data_xfer_size": 7}})", R"({"capabilities": {"max_data_xfer_size": 1e30}})",
        R"({"capabilities": {"max_dma_maps": null}})", R"({"capabilities": {"pgsizes": 0}})",
        R"({"capabilities": {"pgsizes": 9223372036854775808}})", R"({"capabilities": {"twin_socket": true}})",
        R"({"capabilities": {"twin_socket": {"supported": 1}}})",
        R"({"capabilities": {"twin_socket": {"supported": true}}})",
        R"({"capabilities": {"twin_socket": {"supported": true, "fd_index": 1}}})",
        R"({"capabilities": {"twin_socket": {"supported": true, "fd_index": -1}}})",
        R"({"capabilities": {"twin_socket": {"supported": true, "fd_index": "0"}}})"));

TEST(VfioUserVersion, DeepNestingIsRefused) {
    EXPECT_FALSE(parse_version(version_body(std::string(100000, '[')), 0));
    EXPECT_FALSE(parse_version(version_body(std::string(100000, '[') + std::string(100000, ']')), 0));
}

TEST(VfioUserVersion, OtherVersionsAreRefused) {
    EXPECT_FALSE(parse_version({}, 0));
    EXPECT_FALSE(parse_version(Bytes(3), 0));
    EXPECT_FALSE(parse_version(version_body("", 1, 0), 0));
    EXPECT_FALSE(parse_version(version_body("", 0, 2), 0));
    EXPECT_TRUE(parse_version(version_body("", 0, 0), 0));
}

RC_GTEST_PROP(VfioUserVersion, AnyTextEnds, (const std::string& text, std::uint8_t descriptors)) {
    const auto version = parse_version(version_body(text), descriptors);
    if (version && version->twin_socket)
        RC_ASSERT(*version->twin_socket < descriptors);
}

// ---- device ----

TEST(VfioUserInfo, TheDeviceIsAPciDevice) {
    Bytes body;
    append(body, DeviceInfo{.argument_size = 16, .flags = device_flag::pci, .regions = 9, .interrupts = 5});
    const auto device = parse_device_info(body);
    ASSERT_TRUE(device);
    EXPECT_EQ(device->regions, 9U);
    EXPECT_FALSE(device->resettable);
    EXPECT_FALSE(parse_device_info(std::span(body).first(15)));
    body[4] = std::byte{device_flag::reset};
    EXPECT_FALSE(parse_device_info(body));
}

// ---- regions ----

constexpr std::uint32_t shared = region_flag::readable | region_flag::writable | region_flag::mappable;

RegionInfo region_of(std::uint64_t size, std::uint32_t flags = shared) {
    return {.argument_size = sizeof(RegionInfo),
            .flags = flags,
            .index = 2,
            .capability_offset = 0,
            .size = size,
            .offset = 0};
}

/// An answer with one list of areas.
Bytes sparse_body(RegionInfo info, std::initializer_list<SparseArea> areas, std::uint32_t announced) {
    info.flags |= region_flag::capabilities;
    info.capability_offset = sizeof info;
    info.argument_size =
        static_cast<std::uint32_t>(sizeof info + sizeof(SparseMmap) + areas.size() * sizeof(SparseArea));
    Bytes body;
    append(body, info);
    append(body, SparseMmap{.header = {.id = sparse_mmap_capability, .version = 1, .next = 0},
                            .areas = announced,
                            .reserved = 0});
    for (const SparseArea& area : areas)
        append(body, area);
    return body;
}

Bytes sparse_body(std::initializer_list<SparseArea> areas) {
    return sparse_body(region_of(8 * page), areas, static_cast<std::uint32_t>(areas.size()));
}

Bytes plain_body(const RegionInfo& info) {
    Bytes body;
    append(body, info);
    return body;
}

TEST(VfioUserInfo, ARegionWithoutAListIsSharedWhole) {
    RegionInfo info = region_of(2 * page);
    info.offset = 5 * page;
    const auto region = parse_region_info(plain_body(info), 2, 1);
    ASSERT_TRUE(region) << region.error();
    ASSERT_EQ(region->files.size(), 1U);
    EXPECT_EQ(region->files[0].area.size, 2 * page);
    EXPECT_EQ(region->files[0].offset, 5 * page);
    EXPECT_TRUE(parse_region_info(plain_body(info), 2, 0)->files.empty()) << "no descriptor";
    info.flags = region_flag::readable;
    EXPECT_TRUE(parse_region_info(plain_body(info), 2, 1)->files.empty()) << "not shared";
}

TEST(VfioUserInfo, AreasComeFromOneFileOrEachFromItsOwn) {
    const Bytes body = sparse_body({{.offset = page, .size = page}, {.offset = 4 * page, .size = 2 * page}});
    const auto one = parse_region_info(body, 2, 1);
    ASSERT_TRUE(one) << one.error();
    ASSERT_EQ(one->files.size(), 2U);
    EXPECT_EQ(one->files[1].descriptor, 0U);
    EXPECT_EQ(one->files[1].offset, 4 * page);
    EXPECT_EQ(parse_region_info(body, 2, 2)->files[1].descriptor, 1U);
    EXPECT_FALSE(parse_region_info(body, 2, 3));
}

TEST(VfioUserInfo, WhatIsNoWholeNumberOfPagesIsReachedByMessages) {
    EXPECT_TRUE(parse_region_info(plain_body(region_of(100)), 2, 1)->files.empty());
    RegionInfo odd_offset = region_of(page);
    odd_offset.offset = 8;
    EXPECT_TRUE(parse_region_info(plain_body(odd_offset), 2, 1)->files.empty());
    const auto region = parse_region_info(sparse_body({{.offset = 0, .size = 100},
                                                       {.offset = 100, .size = page},
                                                       {.offset = 0, .size = 0},
                                                       {.offset = page, .size = page}}),
                                          2, 1);
    ASSERT_TRUE(region) << region.error();
    EXPECT_EQ(region->files.size(), 1U);
}

TEST(VfioUserInfo, AreasThatCannotBeAreRefused) {
    for (const SparseArea area :
         {SparseArea{.offset = 8 * page, .size = page}, SparseArea{.offset = 0, .size = 9 * page},
          SparseArea{.offset = ~0ULL, .size = page}, SparseArea{.offset = page, .size = ~0ULL}})
        EXPECT_FALSE(parse_region_info(sparse_body({area}), 2, 1));
    EXPECT_FALSE(parse_region_info(sparse_body(region_of(8 * page), {{.offset = 0, .size = page}}, 2), 2, 1));
    EXPECT_FALSE(parse_region_info(sparse_body(region_of(8 * page), {}, 0xffffffff), 2, 1));
    RegionInfo beyond = region_of(8 * page);
    beyond.offset = ~std::uint64_t{page - 1};
    EXPECT_FALSE(parse_region_info(plain_body(beyond), 2, 1));
    EXPECT_FALSE(parse_region_info(plain_body(region_of(~0ULL)), 2, 1));
}

TEST(VfioUserInfo, ChainsThatLoopOrPointOutsideAreRefused) {
    const auto chain = [](std::uint32_t first, std::uint32_t next) {
        RegionInfo info = region_of(page);
        info.flags |= region_flag::capabilities;
        info.capability_offset = first;
        info.argument_size = sizeof info + sizeof(CapabilityHeader);
        Bytes body = plain_body(info);
        append(body, CapabilityHeader{.id = 7, .version = 1, .next = next});
        return parse_region_info(body, 2, 1);
    };
    EXPECT_TRUE(chain(32, 0)) << "another capability";
    EXPECT_FALSE(chain(32, 32)) << "loops";
    EXPECT_FALSE(chain(32, 8)) << "goes back";
    EXPECT_FALSE(chain(32, 36)) << "points outside";
    EXPECT_FALSE(chain(32, 0xffffffff));
    EXPECT_FALSE(chain(8, 0)) << "points into the fixed part";
    EXPECT_FALSE(chain(0xffffffff, 0));
    EXPECT_TRUE(chain(0, 0)) << "an empty chain";
}

TEST(VfioUserInfo, AnAnswerThatWasCutOffSaysWhatItNeeds) {
    RegionInfo info = region_of(page);
    info.argument_size = 5000;
    EXPECT_EQ(parse_region_info(plain_body(info), 2, 1)->needed, 5000U);
    info.argument_size = 0xffffffff;
    EXPECT_FALSE(parse_region_info(plain_body(info), 2, 1));
    EXPECT_FALSE(parse_region_info(plain_body(region_of(page)), 3, 1)) << "another region";
    EXPECT_FALSE(parse_region_info(Bytes(31), 0, 1));
}

RC_GTEST_PROP(VfioUserInfo, AnyAnswerEnds,
              (const std::vector<std::uint8_t>& rest, std::uint32_t flags, std::uint32_t start,
               std::uint64_t size, std::uint64_t offset, std::uint8_t descriptors)) {
    RegionInfo info = region_of(size, flags);
    info.offset = offset;
    info.capability_offset = start % 64;
    Bytes body = plain_body(info);
    std::ranges::transform(rest, std::back_inserter(body), [](std::uint8_t byte) { return std::byte{byte}; });
    const auto region = parse_region_info(body, 2, descriptors);
    if (!region)
        return;
    for (const RegionFile& file : region->files) {
        RC_ASSERT(file.area.offset <= size && file.area.size <= size - file.area.offset);
        RC_ASSERT(file.descriptor < descriptors);
    }
}

// ---- interrupts ----

Bytes interrupts_body(std::uint32_t index, std::uint32_t count,
                      std::uint32_t flags = interrupt_flag::eventfd) {
    Bytes body;
    append(body, InterruptInfo{.argument_size = 16, .flags = flags, .index = index, .count = count});
    return body;
}

TEST(VfioUserInfo, InterruptsThatCannotBeHadAsEventfdsAreNone) {
    EXPECT_EQ(parse_interrupt_info(interrupts_body(2, 2048), InterruptKind::msix)->info.count, 2048U);
    EXPECT_EQ(parse_interrupt_info(interrupts_body(2, 16, 0), InterruptKind::msix)->info.count, 0U);
    EXPECT_FALSE(parse_interrupt_info(interrupts_body(0, 1), InterruptKind::intx)->switchable);
    EXPECT_TRUE(parse_interrupt_info(interrupts_body(0, 1, 3), InterruptKind::intx)->switchable);
    EXPECT_FALSE(parse_interrupt_info(interrupts_body(0, 1, 3), InterruptKind::intx)->info.maskable);
    EXPECT_TRUE(parse_interrupt_info(interrupts_body(0, 1, 5), InterruptKind::intx)->info.maskable);
}

TEST(VfioUserInfo, AbsurdCountsOfInterruptsAreRefused) {
    EXPECT_FALSE(parse_interrupt_info(interrupts_body(0, 2), InterruptKind::intx));
    EXPECT_FALSE(parse_interrupt_info(interrupts_body(1, 33), InterruptKind::msi));
    EXPECT_FALSE(parse_interrupt_info(interrupts_body(2, 2049), InterruptKind::msix));
    EXPECT_FALSE(parse_interrupt_info(interrupts_body(2, 0xffffffff), InterruptKind::msix));
    EXPECT_FALSE(parse_interrupt_info(interrupts_body(1, 1), InterruptKind::msix)) << "another kind";
    EXPECT_FALSE(parse_interrupt_info(Bytes(15), InterruptKind::intx));
}

}  // namespace
}  // namespace outboard::vfio_user
