// How accesses of any size and place become accesses on the bus.
#include "outboard/sim/region_access.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace outboard::sim {
namespace {

/// Notes every access.
class NotingModel final : public PciModel {
  public:
    NotingModel() : PciModel(describe()) {}
    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned width) override {
        accesses.push_back(fmt::format("read {} {:#x} {}", bar, offset, width));
        return 0x8877665544332211;
    }
    void write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override {
        accesses.push_back(fmt::format("write {} {:#x} {} {:#x}", bar, offset, width, value));
    }
    void reset() override {}
    void config_written(std::size_t offset, std::size_t size) override {
        accesses.push_back(fmt::format("config {:#x} {}", offset, size));
    }

    std::vector<std::string> accesses;

  private:
    static PciDescription describe() {
        PciDescription description{.name = "noting", .vendor = 1, .device = 2};
        description.bars[0] = {
            .kind = BarKind::memory32, .size = 0x4000, .shared = {{.offset = 0x1000, .size = 0x1000}}};
        description.bars[4] = {.kind = BarKind::port, .size = 16};
        description.msix = {
            .vectors = 2, .table_bar = 0, .table_offset = 0x3000, .pending_bar = 0, .pending_offset = 0x3800};
        return description;
    }
};

class SimRegionAccess : public testing::Test {
  protected:
    using Lines = std::vector<std::string>;

    std::vector<std::byte> read(unsigned region, std::uint64_t offset, std::size_t size, int expected = 0) {
        std::vector<std::byte> data(size);
        EXPECT_EQ(read_region(model, region, offset, data), expected);
        return data;
    }
    void write(unsigned region, std::uint64_t offset, std::vector<std::uint8_t> data, int expected = 0) {
        EXPECT_EQ(write_region(model, region, offset, std::as_bytes(std::span(data))), expected);
    }

    NotingModel model;
};

TEST_F(SimRegionAccess, AlignedAccessesAreOne) {
    read(0, 0, 8);
    read(0, 4, 4);
    read(4, 14, 2);
    read(4, 15, 1);
    EXPECT_EQ(model.accesses, (Lines{"read 0 0x0 8", "read 0 0x4 4", "read 4 0xe 2", "read 4 0xf 1"}));
}

TEST_F(SimRegionAccess, OthersAreARowOfAlignedOnes) {
    read(0, 3, 14);
    EXPECT_EQ(model.accesses, (Lines{"read 0 0x3 1", "read 0 0x4 4", "read 0 0x8 8", "read 0 0x10 1"}));
    model.accesses.clear();
    write(4, 2, {1, 2, 3, 4, 5});
    EXPECT_EQ(model.accesses, (Lines{"write 4 0x2 2 0x201", "write 4 0x4 2 0x403", "write 4 0x6 1 0x5"}));
}

TEST_F(SimRegionAccess, ValuesHaveTheWidthOfTheAccess) {
    const auto data = read(0, 6, 2);
    EXPECT_EQ(data, (std::vector{std::byte{0x11}, std::byte{0x22}}));
}

TEST_F(SimRegionAccess, WhatIsSharedIsMemoryAndAsksNobody) {
    write(0, 0x1ffc, {1, 2, 3, 4, 5, 6, 7, 8});
    EXPECT_EQ(model.accesses, (Lines{"write 0 0x2000 4 0x8070605"}));
    EXPECT_EQ(model.shared(0)[0x1ffd], std::byte{2});
    EXPECT_EQ(read(0, 0x1ffc, 4), (std::vector{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}}));
    EXPECT_TRUE(model.shared(4).empty());
    EXPECT_LT(model.shared_fd(4), 0);
}

TEST_F(SimRegionAccess, TheMsixTableIsServedHere) {
    write(0, 0x3010, {1, 2, 3, 4});
    EXPECT_EQ(read(0, 0x3010, 4), (std::vector{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}}));
    EXPECT_EQ(read(0, 0x3800, 8), std::vector<std::byte>(8));
    EXPECT_TRUE(model.accesses.empty());
    read(0, 0x3020, 4);
    EXPECT_EQ(model.accesses, (Lines{"read 0 0x3020 4"}));
}

TEST_F(SimRegionAccess, WhatDoesNotLieInTheRegionIsRefused) {
    read(0, 0x4000, 1, EINVAL);
    read(0, 0x3fff, 2, EINVAL);
    read(0, ~std::uint64_t{0}, 2, EINVAL);
    read(0, 0, 0, EINVAL);
    read(1, 0, 1, EINVAL);
    read(6, 0, 1, EINVAL);
    read(8, 0, 1, EINVAL);
    read(9, 0, 1, EINVAL);
    read(~0U, 0, 1, EINVAL);
    read(config_region, 256, 1, EINVAL);
    write(4, 12, {1, 2, 3, 4, 5}, EINVAL);
    EXPECT_TRUE(model.accesses.empty()) << "nothing is done in part";
}

TEST_F(SimRegionAccess, ConfigurationSpaceIsTheLibrarys) {
    EXPECT_EQ(read(config_region, 0, 4),
              (std::vector{std::byte{1}, std::byte{0}, std::byte{2}, std::byte{0}}));
    write(config_region, 4, {4, 0});
    EXPECT_TRUE(model.config().bus_master());
    EXPECT_EQ(model.accesses, (Lines{"config 0x4 2"}));
}

}  // namespace
}  // namespace outboard::sim
