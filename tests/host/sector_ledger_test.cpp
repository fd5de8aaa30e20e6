#include "outboard/host/sector_ledger.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace outboard {
namespace {

constexpr std::uint32_t size = 512;

class Ledger : public testing::Test {
  protected:
    std::vector<std::byte> content(std::uint64_t first, std::uint64_t count,
                                   SectorLedger::Generation generation) const {
        std::vector<std::byte> data(count * size);
        ledger.fill(first, generation, data);
        return data;
    }
    bool may_be(std::uint64_t sector, SectorLedger::Generation generation) const {
        return ledger.mismatches(sector, content(sector, 1, generation)) == 0;
    }
    SectorLedger::Generation write(std::uint64_t first, std::uint64_t count) {
        const auto generation = ledger.next_generation();
        ledger.written(first, count, generation);
        return generation;
    }
    SectorLedger::Generation fail(std::uint64_t first, std::uint64_t count) {
        const auto generation = ledger.next_generation();
        ledger.write_failed(first, count, generation);
        return generation;
    }

    SectorLedger ledger{16, size, 1};
};

TEST_F(Ledger, ADiskBeginsAsZeros) {
    EXPECT_EQ(ledger.mismatches(0, std::vector<std::byte>(16 * size)), 0U);
}

TEST_F(Ledger, OnlyTheLastWriteIsThere) {
    const auto first = write(2, 3);
    const auto second = write(3, 1);
    EXPECT_TRUE(may_be(2, first));
    EXPECT_TRUE(may_be(3, second));
    EXPECT_FALSE(may_be(3, first));
    EXPECT_FALSE(may_be(3, 0));
    EXPECT_TRUE(may_be(4, first));
}

TEST_F(Ledger, ContentTellsItsPlace) {
    const auto generation = write(0, 16);
    auto data = content(0, 2, generation);
    EXPECT_EQ(ledger.mismatches(1, data), 2U);
    std::swap(data[0], data[8]);
    EXPECT_EQ(ledger.mismatches(0, data), 1U);
    EXPECT_EQ(SectorLedger(16, size, 2).mismatches(0, content(0, 1, generation)), 1U);
}

TEST_F(Ledger, AWriteThatFailedMayBeThere) {
    const auto good = write(5, 1);
    const auto failed = fail(5, 1);
    EXPECT_TRUE(may_be(5, good));
    EXPECT_TRUE(may_be(5, failed));
    const auto next = write(5, 1);
    EXPECT_TRUE(may_be(5, next));
    EXPECT_FALSE(may_be(5, good));
    EXPECT_FALSE(may_be(5, failed));
}

TEST_F(Ledger, WhatWasNotFlushedMayGoWithThePower) {
    const auto stable = write(7, 1);
    ledger.flushed(ledger.last_ended());
    const auto lost = write(7, 1);
    ledger.power_lost();
    EXPECT_TRUE(may_be(7, stable));
    EXPECT_TRUE(may_be(7, lost));
    EXPECT_FALSE(may_be(7, 0));
}

TEST_F(Ledger, AFlushMakesStableWhatHadEndedWhenItBegan) {
    const auto before = write(1, 1);
    const auto begun = ledger.last_ended();
    const auto after = write(1, 1);
    ledger.flushed(begun);
    ledger.power_lost();
    EXPECT_TRUE(may_be(1, before));
    EXPECT_TRUE(may_be(1, after));
    EXPECT_FALSE(may_be(1, 0));
}

TEST_F(Ledger, AFlushDoesNotSayWhatAFailedWriteLeft) {
    const auto good = write(1, 1);
    const auto failed = fail(1, 1);
    ledger.flushed(ledger.last_ended());
    EXPECT_TRUE(may_be(1, good));
    EXPECT_TRUE(may_be(1, failed));
    ledger.power_lost();
    EXPECT_TRUE(may_be(1, good));
    EXPECT_TRUE(may_be(1, failed));
    EXPECT_FALSE(may_be(1, 0));
}

}  // namespace
}  // namespace outboard
