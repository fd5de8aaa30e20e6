// PRP entries and lists against the rules of the specification (Base 2.0, 4.1.1): only the first entry may
// have an offset, the others are pages; PRP2 is the second page, or the list when there are more.
#include "outboard/drivers/nvme/prp.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard::nvme {
namespace {

constexpr std::uint64_t list_iova = 0x77000800;

DmaSpan piece(std::uint64_t iova, std::size_t length) {
    return {.address = nullptr, .iova = iova, .length = length};
}

struct Built {
    explicit Built(const std::vector<DmaSpan>& data, std::optional<std::uint64_t> length = {},
                   std::size_t room = 256) {
        std::uint64_t sum = 0;
        for (const DmaSpan& segment : data)
            sum += segment.length;
        pointer = make_prps(data, length.value_or(sum),
                            {.entries = std::span(entries).first(room), .iova = list_iova});
    }
    std::array<Le64, 256> entries{};
    std::optional<DataPointer> pointer;
};

/// The pages that a controller reads after the first one, from the data pointer of `bytes` bytes.
std::vector<std::uint64_t> pages_after_first(const Built& built, std::uint64_t bytes) {
    const std::uint64_t offset = built.pointer->prp1 % page_bytes;
    const std::uint64_t count = (offset + bytes + page_bytes - 1) / page_bytes - 1;
    if (count == 0)
        return {};
    if (count == 1)
        return {built.pointer->prp2};
    RC_ASSERT(built.pointer->prp2 == list_iova);
    return {built.entries.begin(), built.entries.begin() + static_cast<std::ptrdiff_t>(count)};
}

TEST(Prps, OnePageIsOneEntry) {
    EXPECT_EQ(Built({piece(0x1000, 512)}).pointer, (DataPointer{.prp1 = 0x1000, .prp2 = 0}));
    EXPECT_EQ(Built({piece(0x1e00, 512)}).pointer, (DataPointer{.prp1 = 0x1e00, .prp2 = 0}));
}

TEST(Prps, TwoPagesAreTwoEntries) {
    EXPECT_EQ(Built({piece(0x1e04, 512)}).pointer, (DataPointer{.prp1 = 0x1e04, .prp2 = 0x2000}));
    EXPECT_EQ(Built({piece(0x1000, 8192)}).pointer, (DataPointer{.prp1 = 0x1000, .prp2 = 0x2000}));
    EXPECT_EQ(Built({piece(0x1800, 2048), piece(0x9000, 512)}).pointer,
              (DataPointer{.prp1 = 0x1800, .prp2 = 0x9000}));
}

TEST(Prps, MorePagesAreAList) {
    const Built built({piece(0x1ffc, 4 + 4096 + 4)});
    ASSERT_EQ(built.pointer, (DataPointer{.prp1 = 0x1ffc, .prp2 = list_iova}));
    EXPECT_EQ(built.entries[0], 0x2000U);
    EXPECT_EQ(built.entries[1], 0x3000U);
    EXPECT_EQ(built.entries[2], 0U);
}

TEST(Prps, RefusesWhatPagesCannotSay) {
    EXPECT_FALSE(Built({}).pointer) << "nothing at all";
    EXPECT_FALSE(Built({piece(0x1000, 0)}).pointer) << "an empty segment";
    EXPECT_FALSE(Built({piece(0x1002, 512)}).pointer) << "an address that is no multiple of 4";
    EXPECT_FALSE(Built({piece(0x1000, 512), piece(0x2000, 512)}).pointer) << "a gap in the first page";
    EXPECT_FALSE(Built({piece(0x1000, 4096), piece(0x2200, 512)}).pointer) << "an offset in the second";
    EXPECT_FALSE(Built({piece(0x1000, 4096)}, 8192).pointer) << "too little memory";
    EXPECT_FALSE(Built({piece(0x1000, 8192)}, 4096).pointer) << "too much memory";
    EXPECT_FALSE(Built({piece(0x1000, 12288)}, {}, 1).pointer) << "a list without room";
    EXPECT_FALSE(Built({piece(0xfffffffffffff000, 8192)}).pointer) << "memory around the end";
}

RC_GTEST_PROP(Prps, DescribeEveryByteOnceAndInOrder, ()) {
    // Segments as rules allow them: inner borders at pages, the rest anywhere.
    const auto count = *rc::gen::inRange<std::size_t>(1, 6);
    std::vector<DmaSpan> data;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t page = *rc::gen::inRange<std::uint64_t>(1, 1U << 20) * page_bytes;
        const std::uint64_t offset = i == 0 ? *rc::gen::inRange<std::uint64_t>(0, 1024) * 4 : 0;
        const std::uint64_t pages = *rc::gen::inRange<std::uint64_t>(1, 9);
        const std::uint64_t cut =
            i + 1 == count ? *rc::gen::inRange<std::uint64_t>(0, page_bytes - offset) : 0;
        data.push_back(piece(page + offset, pages * page_bytes - offset - cut));
        bytes += data.back().length;
    }
    const Built built(data);
    RC_ASSERT(built.pointer.has_value());

    // What a controller makes of them, byte range by byte range, is the segments.
    std::vector<std::uint64_t> starts{built.pointer->prp1};
    for (const std::uint64_t page : pages_after_first(built, bytes)) {
        RC_ASSERT(page % page_bytes == 0U);
        starts.push_back(page);
    }
    std::size_t at = 0;
    std::uint64_t left = bytes;
    for (const DmaSpan& segment : data) {
        for (std::uint64_t done = 0; done < segment.length;) {
            RC_ASSERT(at < starts.size());
            RC_ASSERT(starts[at] == segment.iova + done);
            const std::uint64_t here =
                std::min({page_bytes - starts[at] % page_bytes, left, segment.length - done});
            done += here;
            left -= here;
            ++at;
        }
    }
    RC_ASSERT(left == 0U);
    RC_ASSERT(at == starts.size());
}

RC_GTEST_PROP(Prps, TheLargestCommandFitsIntoItsList, (std::uint16_t offset)) {
    constexpr std::uint64_t largest = 1U << 20;
    const Built built({piece(0x100000 + (offset & 0xffc), largest)}, {}, prp_list_entries(largest));
    RC_ASSERT(built.pointer.has_value());
}

}  // namespace
}  // namespace outboard::nvme
