// PRD tables against the rules of AHCI 1.3.1, 4.2.3.3, and FISes.
#include "outboard/drivers/ahci/command_memory.hpp"
#include "outboard/drivers/ahci/prd.hpp"

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard::ahci {
namespace {

constexpr std::uint64_t no_limit = ~std::uint64_t{0};

DmaSpan piece(std::uint64_t iova, std::size_t length) {
    return {.address = nullptr, .iova = iova, .length = length};
}

struct Built {
    explicit Built(const std::vector<DmaSpan>& data, std::size_t room = 8, std::uint64_t limit = no_limit)
        : entries(room) {
        std::uint64_t length = 0;
        for (const DmaSpan& one : data)
            length += one.length;
        used = make_prds(data, length, limit, entries);
    }
    std::vector<PrdEntry> entries;
    std::optional<std::size_t> used;
};

TEST(AhciPrd, NeighboursAreJoined) {
    const Built built({piece(0x1000, 512), piece(0x1200, 1024), piece(0x9000, 2)});
    ASSERT_EQ(built.used, 2U);
    EXPECT_EQ(built.entries[0].address, 0x1000U);
    EXPECT_EQ(built.entries[0].size, 1535U);
    EXPECT_EQ(built.entries[1].size, 1U);
}

TEST(AhciPrd, LongPiecesAreCut) {
    const Built built({piece(0x1000, most_prd_bytes + 512)});
    ASSERT_EQ(built.used, 2U);
    EXPECT_EQ(built.entries[0].size, 0x3fffffU);
    EXPECT_EQ(built.entries[1].address, 0x1000 + most_prd_bytes);
    EXPECT_EQ(built.entries[1].size, 511U);
}

TEST(AhciPrd, RefusesWhatAnHbaCannotDo) {
    EXPECT_FALSE(Built({piece(1, 2)}).used);
    EXPECT_FALSE(Built({piece(2, 3)}).used);
    EXPECT_FALSE(Built({piece(2, 0)}).used);
    EXPECT_FALSE(Built({}).used);
    EXPECT_FALSE(Built({piece(0, 2), piece(8, 2), piece(16, 2)}, 2).used);
    EXPECT_FALSE(Built({piece(0xfffffffe, 4)}, 2, std::uint64_t{1} << 32).used);
    EXPECT_TRUE(Built({piece(0xfffffffc, 4)}, 2, std::uint64_t{1} << 32).used);
    EXPECT_FALSE(Built({piece(no_limit - 1, 4)}).used);
    std::vector<PrdEntry> entries(4);
    const DmaSpan one = piece(0, 1024);
    EXPECT_FALSE(make_prds({&one, 1}, 512, no_limit, entries));
    EXPECT_FALSE(make_prds({&one, 1}, 2048, no_limit, entries));
}

/// What the entries say, byte for byte in order, is what was asked for.
RC_GTEST_PROP(AhciPrd, DescribesExactlyTheData, ()) {
    const auto count = *rc::gen::inRange<std::size_t>(1, 20);
    std::vector<DmaSpan> data;
    std::uint64_t next = 0x100000;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t gap = *rc::gen::element<std::uint64_t>(0, 0, 2, 4096, most_prd_bytes);
        const std::uint64_t length = 2 * *rc::gen::inRange<std::uint64_t>(1, 3 * most_prd_bytes / 2);
        data.push_back(piece(next + gap, length));
        next += gap + length;
    }
    const Built built(data, 64);
    RC_ASSERT(built.used.has_value());
    std::size_t at = 0;
    std::uint64_t into = 0;
    for (std::size_t i = 0; i < *built.used; ++i) {
        const PrdEntry& entry = built.entries[i];
        std::uint64_t address = entry.address;
        std::uint64_t left = std::uint64_t{entry.size} + 1;
        RC_ASSERT(left <= most_prd_bytes && left % 2 == 0 && entry.reserved == 0U);
        while (left > 0) {
            RC_ASSERT(at < data.size() && address == data[at].iova + into);
            const std::uint64_t part = std::min<std::uint64_t>(left, data[at].length - into);
            address += part;
            left -= part;
            into += part;
            if (into == data[at].length) {
                ++at;
                into = 0;
            }
        }
    }
    RC_ASSERT(at == data.size());
}

TEST(AhciFis, CarriesATaskFile) {
    const CommandFis queued =
        make_fis(ata::queued_transfer(ata::Direction::to_device, 0x123456789abc, 65536, 17, true));
    EXPECT_EQ(queued.type, 0x27);
    EXPECT_EQ(queued.flags, 0x80);
    EXPECT_EQ(queued.command, 0x61);
    EXPECT_EQ(queued.features, 0);
    EXPECT_EQ(queued.features_high, 0);
    EXPECT_EQ(queued.count, 17 << 3);
    EXPECT_EQ(queued.device, 0xc0);
    EXPECT_EQ(queued.lba_low[0], 0xbc);
    EXPECT_EQ(queued.lba_high[2], 0x12);
    const CommandFis plain = make_fis(ata::transfer(ata::Direction::from_device, true, 0xabcdef1, 256));
    EXPECT_EQ(plain.command, 0xc8);
    EXPECT_EQ(plain.count, 0);
    EXPECT_EQ(plain.device, 0x4a);
    EXPECT_EQ(plain.lba_high[0], 0);
}

TEST(AhciFis, AHeaderSaysWhereTheDataGoes) {
    const CommandHeader out =
        make_header(ata::transfer(ata::Direction::to_device, true, 0, 1), 3, 0x123456780);
    EXPECT_EQ(out.flags, 0x45);
    EXPECT_EQ(out.descriptors, 3U);
    EXPECT_EQ(out.table, 0x123456780U);
    EXPECT_EQ(make_header(ata::identify(), 1, 0).flags, 0x05);
}

}  // namespace
}  // namespace outboard::ahci
