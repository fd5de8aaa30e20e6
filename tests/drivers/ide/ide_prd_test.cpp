// PRD tables against the rules of "Bus Master IDE" 1.0, 1.2: even addresses and counts, no entry across a
// multiple of 64 KiB, 0 for 64 KiB, the last entry marked.
#include "outboard/drivers/ide/prd.hpp"

#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard::ide {
namespace {

DmaSpan piece(std::uint64_t iova, std::size_t length) {
    return {.address = nullptr, .iova = iova, .length = length};
}

std::uint32_t size_of(const PrdEntry& entry) {
    const std::uint16_t count = entry.byte_count;
    return count == 0 ? 65536U : count;
}

struct Built {
    explicit Built(const std::vector<DmaSpan>& data, std::uint32_t largest = 65536) {
        PrdTable table(entries, largest);
        accepted = table.append(data) && table.finish();
        used = table.used();
    }
    std::array<PrdEntry, 512> entries{};
    bool accepted = false;
    std::size_t used = 0;
};

TEST(PrdTable, OnePieceIsOneEntryMarkedAsTheLast) {
    const Built built({piece(0x12340000, 4096)});
    ASSERT_TRUE(built.accepted);
    ASSERT_EQ(built.used, 1U);
    EXPECT_EQ(built.entries[0].address, 0x12340000U);
    EXPECT_EQ(built.entries[0].byte_count, 4096);
    EXPECT_EQ(built.entries[0].flags, 0x8000);
}

TEST(PrdTable, SixtyFourKibibytesAreWrittenAsZero) {
    const Built built({piece(0x10000, 0x10000)});
    ASSERT_EQ(built.used, 1U);
    EXPECT_EQ(built.entries[0].byte_count, 0);
}

TEST(PrdTable, APieceAcrossABoundaryIsTwoEntries) {
    const Built built({piece(0x1fffe, 4)});
    ASSERT_EQ(built.used, 2U);
    EXPECT_EQ(size_of(built.entries[0]), 2U);
    EXPECT_EQ(built.entries[0].flags, 0);
    EXPECT_EQ(built.entries[1].address, 0x20000U);
    EXPECT_EQ(built.entries[1].flags, 0x8000);
}

TEST(PrdTable, NeighboursAreJoinedUpToTheBoundary) {
    const Built built({piece(0x2e000, 0x1000), piece(0x2f000, 0x1000), piece(0x30000, 0x1000)});
    ASSERT_EQ(built.used, 2U);
    EXPECT_EQ(size_of(built.entries[0]), 0x2000U);
    EXPECT_EQ(built.entries[1].address, 0x30000U);
}

TEST(PrdTable, ASmallerLargestEntryIsKept) {
    const Built built({piece(0x10000, 0x10000)}, 0x8000);
    ASSERT_EQ(built.used, 2U);
    EXPECT_EQ(size_of(built.entries[0]), 0x8000U);
    EXPECT_EQ(built.entries[1].address, 0x18000U);
}

TEST(PrdTable, RefusesWhatAControllerCannotTake) {
    EXPECT_FALSE(Built({piece(0x1001, 512)}).accepted) << "odd address";
    EXPECT_FALSE(Built({piece(0x1000, 511)}).accepted) << "odd length";
    EXPECT_FALSE(Built({piece(0x1000, 0)}).accepted) << "no length";
    EXPECT_FALSE(Built({}).accepted) << "nothing at all";
    EXPECT_FALSE(Built({piece(0x100000000, 512)}).accepted) << "above 4 GiB";
    EXPECT_FALSE(Built({piece(0xfffffe00, 1024)}).accepted) << "reaches beyond 4 GiB";
    EXPECT_TRUE(Built({piece(0xfffffe00, 512)}).accepted) << "ends at 4 GiB";
}

TEST(PrdTable, RefusesMoreThanFits) {
    std::vector<DmaSpan> data;
    data.reserve(513);
    for (std::uint64_t i = 0; i < 512; ++i)
        data.push_back(piece(0x100000 + i * 0x1000, 2));
    EXPECT_TRUE(Built(data).accepted);
    data.push_back(piece(0x500000, 2));
    EXPECT_FALSE(Built(data).accepted);
}

TEST(PrdTable, CanBeFilledAgain) {
    std::array<PrdEntry, 4> entries{};
    PrdTable table(entries, 65536);
    const std::array first{piece(0x1000, 512), piece(0x5000, 512)};
    ASSERT_TRUE(table.append(first) && table.finish());
    table.clear();
    const std::array second{piece(0x5200, 512)};
    ASSERT_TRUE(table.append(second) && table.finish());
    EXPECT_EQ(table.used(), 1U);
    EXPECT_EQ(entries[0].address, 0x5200U);
    EXPECT_EQ(entries[0].flags, 0x8000);
}

RC_GTEST_PROP(PrdTableProperty, DescribesTheSameBytesInOrder, ()) {
    const std::uint32_t largest = *rc::gen::element(0x8000U, 0x10000U);
    const auto count = *rc::gen::inRange<std::size_t>(1, 20);
    std::vector<DmaSpan> data;
    std::uint64_t next = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const bool joins = *rc::gen::arbitrary<bool>();
        const std::uint64_t address = joins && next != 0 && next < 0xffe00000
                                          ? next
                                          : 2 * *rc::gen::inRange<std::uint64_t>(0, 0x7fe00000);
        const auto length = 2 * *rc::gen::inRange<std::size_t>(1, 100000);
        data.push_back(piece(address, length));
        next = address + length;
    }
    const Built built(data, largest);
    RC_ASSERT(built.accepted);
    RC_ASSERT(built.used <= prd_entries_needed(data, largest));

    std::vector<std::pair<std::uint64_t, std::uint64_t>> described;  // joined runs
    for (std::size_t i = 0; i < built.used; ++i) {
        const PrdEntry& entry = built.entries[i];
        const std::uint64_t first = entry.address;
        const std::uint64_t last = first + size_of(entry) - 1;
        RC_ASSERT(first % 2 == 0U);
        RC_ASSERT(size_of(entry) % 2 == 0U);
        RC_ASSERT(size_of(entry) <= largest);
        RC_ASSERT(first / 0x10000 == last / 0x10000);
        RC_ASSERT((entry.flags == 0x8000) == (i + 1 == built.used));
        if (!described.empty() && described.back().first + described.back().second == first)
            described.back().second += size_of(entry);
        else
            described.emplace_back(first, size_of(entry));
    }
    std::vector<std::pair<std::uint64_t, std::uint64_t>> wanted;
    for (const DmaSpan& span : data) {
        if (!wanted.empty() && wanted.back().first + wanted.back().second == span.iova)
            wanted.back().second += span.length;
        else
            wanted.emplace_back(span.iova, span.length);
    }
    RC_ASSERT(described == wanted);
}

}  // namespace
}  // namespace outboard::ide
