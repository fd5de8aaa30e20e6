#include "outboard/sim/config_space_model.hpp"
#include "outboard/sim/pci_description.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "tests/support/expect_error.hpp"
#include <gtest/gtest.h>

namespace outboard::sim {
namespace {

/// Everything that a device can have.
PciDescription full() {
    PciDescription description{.name = "full", .vendor = 0x1af4, .device = 0x10de};
    description.class_code = 0x010802;
    description.revision = 3;
    description.subsystem_vendor = 0x1111;
    description.subsystem = 0x2222;
    description.bars[0] = {.kind = BarKind::memory64, .size = 1 << 16, .prefetchable = true};
    description.bars[2] = {.kind = BarKind::memory32, .size = 4096};
    description.bars[3] = {.kind = BarKind::port, .size = 16};
    description.interrupt_line = true;
    description.msi_vectors = 4;
    description.msix = {.vectors = 8, .table_bar = 0, .table_offset = 0x2000, .pending_bar = 2};
    description.power_management = true;
    description.pci_express = true;
    return description;
}

std::uint32_t read(const ConfigSpaceModel& config, std::size_t offset, std::size_t width) {
    std::uint32_t value = 0;
    config.read(offset, std::as_writable_bytes(std::span(&value, 1)).first(width));
    return value;
}

void write(ConfigSpaceModel& config, std::size_t offset, std::size_t width, std::uint32_t value) {
    config.write(offset, std::as_bytes(std::span(&value, 1)).first(width));
}

/// Where a capability lies; 0 when there is none.
std::size_t find(const ConfigSpaceModel& config, std::uint32_t id) {
    std::size_t hops = 0;
    for (std::size_t place = read(config, 0x34, 1); place != 0 && hops < 48;
         place = read(config, place + 1, 1), ++hops)
        if (read(config, place, 1) == id)
            return place;
    return 0;
}

TEST(SimConfigSpace, TellsWhoItIs) {
    const ConfigSpaceModel config(full());
    EXPECT_EQ(config.size(), 4096U);
    EXPECT_EQ(read(config, 0, 4), 0x10de1af4U);
    EXPECT_EQ(read(config, 8, 4), 0x01080203U);
    EXPECT_EQ(read(config, 0x0e, 1), 0U) << "header type";
    EXPECT_EQ(read(config, 0x2c, 4), 0x22221111U);
    EXPECT_EQ(read(config, 0x3d, 1), 1U) << "interrupt pin";
    EXPECT_EQ(read(config, 6, 2), 1U << 4) << "status: a capability list";
}

TEST(SimConfigSpace, IdentityCannotBeWritten) {
    ConfigSpaceModel config(full());
    const std::vector<std::byte> ones(64, std::byte{0xff});
    config.write(0, ones);
    EXPECT_EQ(read(config, 0, 4), 0x10de1af4U);
    EXPECT_EQ(read(config, 8, 4), 0x01080203U);
    EXPECT_EQ(read(config, 0x2c, 4), 0x22221111U);
    EXPECT_EQ(read(config, 0x34, 4) & 0xff, 0x40U);
    EXPECT_EQ(read(config, 0x3c, 1), 0xffU) << "the interrupt line is the software's";
}

TEST(SimConfigSpace, BarsCanBeSized) {
    ConfigSpaceModel config(full());
    for (std::size_t bar = 0x10; bar < 0x28; bar += 4)
        write(config, bar, 4, 0xffffffff);
    EXPECT_EQ(read(config, 0x10, 4), 0xffff000cU) << "64 bits, prefetchable";
    EXPECT_EQ(read(config, 0x14, 4), 0xffffffffU);
    EXPECT_EQ(read(config, 0x18, 4), 0xfffff000U);
    EXPECT_EQ(read(config, 0x1c, 4), 0xfffffff1U);
    EXPECT_EQ(read(config, 0x20, 4), 0U);
    EXPECT_EQ(read(config, 0x24, 4), 0U);
}

TEST(SimConfigSpace, BarsCanBePlaced) {
    ConfigSpaceModel config(full());
    write(config, 0x10, 4, 0xfe001234);
    write(config, 0x14, 4, 0x40);
    write(config, 0x18, 4, 0xfd000000);
    write(config, 0x1c, 4, 0xc040);
    EXPECT_EQ(config.bar_address(0), 0x40fe000000U);
    EXPECT_EQ(config.bar_address(2), 0xfd000000U);
    EXPECT_EQ(config.bar_address(3), 0xc040U);
    EXPECT_EQ(config.bar_address(1), 0U);
    EXPECT_EQ(config.bar_address(5), 0U);
}

TEST(SimConfigSpace, ABarCanBeWrittenByteByByte) {
    ConfigSpaceModel config(full());
    write(config, 0x1b, 1, 0xfe);
    write(config, 0x19, 1, 0x1f);
    EXPECT_EQ(read(config, 0x18, 4), 0xfe001000U);
}

TEST(SimConfigSpace, CommandSwitchesThingsOn) {
    ConfigSpaceModel config(full());
    EXPECT_FALSE(config.bus_master() || config.memory_enabled() || config.ports_enabled() ||
                 config.line_disabled());
    write(config, 4, 2, 0xffff);
    EXPECT_EQ(read(config, 4, 2), 0x0547U);
    EXPECT_TRUE(config.bus_master() && config.memory_enabled() && config.ports_enabled() &&
                config.line_disabled());
    write(config, 4, 1, 0);
    EXPECT_FALSE(config.bus_master());
    EXPECT_TRUE(config.line_disabled()) << "it is in the other byte";
}

TEST(SimConfigSpace, HasAListOfCapabilities) {
    const ConfigSpaceModel config(full());
    const std::size_t power = find(config, 0x01);
    const std::size_t msi = find(config, 0x05);
    const std::size_t msix = find(config, 0x11);
    const std::size_t express = find(config, 0x10);
    ASSERT_TRUE(power != 0 && msi != 0 && msix != 0 && express != 0);
    EXPECT_EQ(read(config, power + 2, 2) & 7, 3U);
    EXPECT_EQ(read(config, msi + 2, 2), 0x84U) << "64 bits, 4 messages";
    EXPECT_EQ(read(config, msix + 2, 2), 7U) << "one less than the number of vectors";
    EXPECT_EQ(read(config, msix + 4, 4), 0x2000U);
    EXPECT_EQ(read(config, msix + 8, 4), 2U) << "BAR 2, offset 0";
    EXPECT_EQ(read(config, express + 2, 2), 2U) << "version 2, endpoint";
    EXPECT_EQ(read(config, 0x100, 4), 0U) << "no extended capability";
}

TEST(SimConfigSpace, WithoutCapabilitiesThereIsNoList) {
    const ConfigSpaceModel config(PciDescription{.name = "bare", .vendor = 1, .device = 2});
    EXPECT_EQ(config.size(), 256U);
    EXPECT_EQ(read(config, 0x34, 1), 0U);
    EXPECT_EQ(read(config, 6, 2), 0U);
    EXPECT_EQ(read(config, 0x3d, 1), 0U);
}

TEST(SimConfigSpace, MessagesAreEnabledByTheClient) {
    ConfigSpaceModel config(full());
    const std::size_t msi = find(config, 0x05);
    const std::size_t msix = find(config, 0x11);
    write(config, msi + 2, 2, 0xffff);
    EXPECT_TRUE(config.msi_enabled());
    EXPECT_EQ(config.msi_vectors(), 4U) << "not more than it is capable of";
    EXPECT_EQ(read(config, msi + 2, 2), 0xf5U);
    write(config, msi + 2, 2, 1U << 4 | 1);
    EXPECT_EQ(config.msi_vectors(), 2U);
    write(config, msi + 2, 2, 0);
    EXPECT_FALSE(config.msi_enabled());
    write(config, msix + 2, 2, 0xc000);
    EXPECT_TRUE(config.msix_enabled() && config.msix_masked());
    EXPECT_EQ(read(config, msix + 2, 2), 0xc007U);
}

TEST(SimConfigSpace, EnablingOneSortOfMessageDisablesTheOther) {
    ConfigSpaceModel config(full());
    config.enable_msi(3);
    EXPECT_TRUE(config.msi_enabled());
    EXPECT_EQ(config.msi_vectors(), 4U);
    config.enable_msix();
    EXPECT_TRUE(config.msix_enabled());
    EXPECT_FALSE(config.msi_enabled());
    config.enable_msi(1);
    EXPECT_EQ(config.msi_vectors(), 1U);
    EXPECT_FALSE(config.msix_enabled());
}

TEST(SimConfigSpace, ShowsTheLine) {
    ConfigSpaceModel config(full());
    config.show_line(true);
    EXPECT_EQ(read(config, 6, 2), 0x18U);
    config.show_line(false);
    EXPECT_EQ(read(config, 6, 2), 0x10U);
}

TEST(SimConfigSpace, HoldsRegistersOfTheModel) {
    ConfigSpaceModel config(full());
    config.define(0xf0, 4, 0x12345678, 0x0000ff00);
    write(config, 0xf0, 4, 0xffffffff);
    EXPECT_EQ(config.get(0xf0, 4), 0x1234ff78U);
}

// ---- descriptions ----

void expect_refused(const PciDescription& description, const std::string& cause) {
    EXPECT_ERROR(check(description), ErrorKind::usage,
                 ("cannot simulate the device full: " + cause + "; correct its PciDescription").c_str());
}

TEST(SimDescription, AGoodOneIsTaken) {
    EXPECT_NO_THROW(check(full()));
    EXPECT_NO_THROW(check(PciDescription{}));
}

TEST(SimDescription, BarsHavePossibleSizes) {
    auto description = full();
    description.bars[2].size = 5000;
    expect_refused(description, "BAR 2 has 5000 bytes, which is no power of two from 16 to 2147483648");
    description = full();
    description.bars[3].size = 512;
    expect_refused(description, "BAR 3 has 512 bytes, which is no power of two from 1 to 256");
    description = full();
    description.bars[4].size = 16;
    expect_refused(description, "BAR 4 has a size but no kind");
    description = full();
    description.bars[1] = {.kind = BarKind::port, .size = 16};
    expect_refused(description, "BAR 0 has 64 bits and no unused BAR after it");
    description = full();
    description.bars[5] = {.kind = BarKind::memory64, .size = 4096};
    expect_refused(description, "BAR 5 has 64 bits and no unused BAR after it");
}

TEST(SimDescription, SharedAreasArePagesOfMemory) {
    auto description = full();
    description.bars[0].shared = {{.offset = 0x1000, .size = 0x1000}, {.offset = 0x3000, .size = 0xd000}};
    EXPECT_NO_THROW(check(description));
    const std::string cause = "the shared areas of BAR 0 are not ascending whole pages in it";
    for (const SharedArea wrong :
         {SharedArea{.offset = 0x3000, .size = 0xe000}, SharedArea{.offset = 0x1000, .size = 0x1000},
          SharedArea{.offset = 0x3000, .size = 0}, SharedArea{.offset = 0x3800, .size = 0x1000},
          SharedArea{.offset = ~std::uint64_t{0xfff}, .size = 0x1000}}) {
        description.bars[0].shared[1] = wrong;
        expect_refused(description, cause);
    }
    description = full();
    description.bars[3].shared = {{.offset = 0, .size = 4096}};
    expect_refused(description, "BAR 3 is no memory and cannot be shared");
}

TEST(SimDescription, TheMsixTableLiesWhereItCanBeServed) {
    auto description = full();
    description.msix.table_offset = 0xfff8;
    expect_refused(description, "the MSI-X table or its pending bits do not lie in a memory BAR");
    description = full();
    description.msix.pending_bar = 3;
    expect_refused(description, "the MSI-X table or its pending bits do not lie in a memory BAR");
    description = full();
    description.msix.pending_bar = 0;
    description.msix.pending_offset = 0x2078;
    expect_refused(description, "the MSI-X table and its pending bits overlap");
    description = full();
    description.bars[0].shared = {{.offset = 0x2000, .size = 0x1000}};
    expect_refused(description, "the MSI-X table or its pending bits lie in a shared area");
    description = full();
    description.msix.vectors = 2049;
    expect_refused(description, "2049 MSI-X vectors are more than 2048");
    description = full();
    description.msi_vectors = 3;
    expect_refused(description, "3 MSI vectors are no power of two up to 32");
}

}  // namespace
}  // namespace outboard::sim
