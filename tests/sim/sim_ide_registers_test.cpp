// The simulated IDE controller's registers: what answers, resets, selection, interrupts, and what each
// controller adds.
#include "outboard/base/error.hpp"

#include <array>
#include <chrono>

#include "tests/sim/ide_bench.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::sim {
namespace {

using test::IdeBench;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

IdeOptions two_disks(unsigned first, unsigned second) {
    IdeOptions options{.controller = "plain"};
    for (const unsigned place : {first, second})
        options.disks[place] = IdeDiskOptions{.storage = {.size = 1 << 20}, .serial = std::to_string(place)};
    return options;
}

std::array<unsigned, 5> signature(IdeBench& bench) {
    return {bench.in(1), bench.in(2), bench.in(3), bench.in(4), bench.in(5)};
}
const auto ata_disk = ElementsAre(1, 1, 1, 0, 0);

// ---- reset and signature ----

TEST(IdeReset, LeavesTheSignatureOfADisk) {
    IdeBench bench;
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_THAT(signature(bench), ata_disk);
    bench.out(2, 0x55);
    bench.out(5, 0xaa);
    bench.control(0x04);
    EXPECT_EQ(bench.alternate_status() & 0x80, 0x80) << "busy while SRST is set";
    EXPECT_EQ(bench.in(2), bench.alternate_status()) << "busy: every register reads as status";
    bench.control(0x00);
    EXPECT_EQ(bench.alternate_status(), 0x50);
    EXPECT_THAT(signature(bench), ata_disk);
    EXPECT_EQ(bench.in(6) & 0x10, 0);
    EXPECT_FALSE(bench.line());
}

TEST(IdeReset, SelectsDevice0AndReachesBoth) {
    IdeBench bench(two_disks(0, 1));
    bench.unit = 1;
    bench.command(0xec);
    EXPECT_EQ(bench.alternate_status(), 0x58);
    bench.control(0x04);
    bench.control(0x00);
    EXPECT_EQ(bench.in(6), 0);
    EXPECT_THAT(signature(bench), ata_disk);
    bench.out(6, 0x10);
    EXPECT_EQ(bench.status(), 0x50) << "the transfer of device 1 is gone";
    EXPECT_THAT(signature(bench), ata_disk);
}

TEST(IdeReset, TakesTheTimeThatItIsTold) {
    IdeOptions options = test::one_disk();
    options.disks[0]->reset_time = 50ms;
    IdeBench bench(options);
    bench.control(0x04);
    bench.control(0x00);
    EXPECT_EQ(bench.status() & 0x80, 0x80);
    bench.model.timers().run(Clock::now() + 40ms);
    EXPECT_EQ(bench.status() & 0x80, 0x80);
    bench.model.timers().run(Clock::now() + 60ms);
    EXPECT_EQ(bench.status(), 0x50);
}

TEST(IdeReset, BringsSettingsBackUnlessTold) {
    IdeBench bench;
    const auto write_cache = [&] { return (bench.identify()[85] & 0x20) != 0; };
    EXPECT_TRUE(write_cache());
    bench.command(0xef, 0, 0, 0x82);
    EXPECT_FALSE(write_cache());
    bench.control(0x04);
    bench.control(0x00);
    EXPECT_TRUE(write_cache());
    bench.command(0xef, 0, 0, 0x66);
    bench.command(0xef, 0, 0, 0x82);
    bench.control(0x04);
    bench.control(0x00);
    EXPECT_FALSE(write_cache());
    bench.model.reset_device();
    EXPECT_TRUE(write_cache()) << "power-on";
}

TEST(IdeReset, EndsWhatIsGoingOn) {
    IdeOptions options = test::one_disk();
    options.disks[0]->latency = 1s;
    IdeBench bench(options);
    bench.dma_read(0, 8, IdeBench::memory_base);
    EXPECT_EQ(bench.alternate_status() & 0x80, 0x80);
    bench.control(0x04);
    bench.control(0x00);
    EXPECT_EQ(bench.status(), 0x50);
    bench.model.timers().run(Clock::now() + 2s);
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_FALSE(bench.line());
    EXPECT_EQ(bench.master(2), 0x01) << "the bus master still waits";
}

TEST(IdeReset, OfTheControllerResetsTheBusMaster) {
    IdeBench bench;
    bench.table_pointer(0x1234560);
    bench.start(true);
    bench.master(2, 0x60);
    EXPECT_EQ(bench.master(2), 0x61);
    bench.control(0x02);
    bench.model.reset_device();
    EXPECT_EQ(bench.master(0), 0);
    EXPECT_EQ(bench.master(2), 0);
    EXPECT_EQ(bench.model.read(4, 4, 4), 0U);
    bench.command(0xe7);
    EXPECT_TRUE(bench.line()) << "nIEN is cleared";
}

TEST(IdeDiagnostic, ReachesBothAndDevice0Reports) {
    IdeBench bench(two_disks(0, 1));
    bench.out(6, 0x10);
    bench.out(7, 0x90);
    EXPECT_TRUE(bench.line());
    EXPECT_EQ(bench.in(6), 0);
    EXPECT_THAT(signature(bench), ata_disk);
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_FALSE(bench.line());
}

// ---- who answers ----

TEST(IdeSelection, Device0AnswersForAMissingDevice1) {
    IdeBench bench;
    bench.out(6, 0x10);
    EXPECT_EQ(bench.status(), 0);
    EXPECT_EQ(bench.alternate_status(), 0);
    EXPECT_THAT(signature(bench), ata_disk);
    bench.out(7, 0xec);
    EXPECT_EQ(bench.status(), 0) << "a command to nobody";
    EXPECT_FALSE(bench.line());
    bench.out(6, 0x00);
    EXPECT_EQ(bench.status(), 0x50);
}

TEST(IdeSelection, NobodyAnswersForAMissingDevice0) {
    IdeOptions options;
    options.disks[1] = IdeDiskOptions{.storage = {.size = 1 << 20}};
    IdeBench bench(options);
    EXPECT_EQ(bench.status(), 0x7f);
    EXPECT_EQ(bench.in(2), 0x7f);
    bench.out(6, 0x10);
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_THAT(signature(bench), ata_disk);
}

TEST(IdeSelection, AnEmptyChannelFloats) {
    IdeBench bench;
    bench.channel = 1;
    for (unsigned place = 1; place < 8; ++place)
        EXPECT_EQ(bench.in(place), 0x7f);
    EXPECT_EQ(bench.alternate_status(), 0x7f);
    bench.out(2, 0x55);
    bench.out(7, 0xec);
    EXPECT_EQ(bench.in(2), 0x7f);
}

TEST(IdeSelection, EachDeviceHasItsOwnContent) {
    IdeBench bench(two_disks(0, 3));
    EXPECT_EQ(bench.identify()[10], '0' << 8 | ' ');
    bench.channel = 1;
    bench.unit = 1;
    EXPECT_EQ(bench.identify()[10], '3' << 8 | ' ');
    EXPECT_EQ(bench.identify()[93] & 0x2000, 0x2000);
}

TEST(IdeRegisters, AreTwoBytesDeep) {
    IdeBench bench;
    for (unsigned place = 2; place <= 5; ++place) {
        bench.out(place, 0x10 + place);
        bench.out(place, 0x20 + place);
    }
    for (unsigned place = 2; place <= 5; ++place)
        EXPECT_EQ(bench.in(place), 0x20 + place);
    bench.control(0x80);
    for (unsigned place = 2; place <= 5; ++place)
        EXPECT_EQ(bench.in(place), 0x10 + place);
    bench.out(2, 1);
    EXPECT_EQ(bench.in(3), 0x23) << "a write of the command block clears HOB";
}

TEST(IdeRegisters, DoNotChangeWhileTheDiskIsAtWork) {
    IdeBench bench;
    bench.command(0x20, 5, 1);
    ASSERT_EQ(bench.alternate_status(), 0x58);
    bench.out(3, 9);
    bench.out(7, 0xec);
    EXPECT_EQ(bench.in(3), 5);
    EXPECT_EQ(bench.breaches.size(), 2U);
    EXPECT_EQ(bench.model.breaches(), 2U);
    EXPECT_THAT(bench.breaches[0], HasSubstr("while BSY or DRQ is set"));
}

TEST(IdeRegisters, HaveOneWidth) {
    IdeBench bench;
    EXPECT_EQ(bench.model.read(0, 2, 2) & 0xffff, 0xffffU);
    bench.model.write(0, 2, 2, 0);
    EXPECT_EQ(bench.model.read(0, 0, 1) & 0xff, 0xffU);
    EXPECT_EQ(bench.model.read(0, 0, 4) & 0xffffffff, 0xffffffffU) << "for a PIIX only";
    EXPECT_EQ(bench.breaches.size(), 4U);
    EXPECT_EQ(bench.model.read(1, 0, 1) & 0xff, 0xffU) << "the control block is the third byte";
    EXPECT_EQ(bench.in(2), 1);
}

TEST(IdeRegisters, DataThatIsNotOfferedIsABreach) {
    IdeBench bench;
    EXPECT_EQ(bench.data_in(), 0xffff);
    bench.data_out(1);
    bench.command(0x30, 0, 1);
    EXPECT_EQ(bench.data_in(), 0xffff) << "the other way";
    EXPECT_EQ(bench.breaches.size(), 3U);
}

// ---- interrupts ----

TEST(IdeInterrupt, FallsWhenStatusIsReadAndNotWhenAlternateStatusIs) {
    IdeBench bench;
    bench.command(0xe7);
    EXPECT_TRUE(bench.line());
    EXPECT_EQ(bench.alternate_status(), 0x50);
    EXPECT_TRUE(bench.line());
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_FALSE(bench.line());
}

TEST(IdeInterrupt, FallsWithTheNextCommand) {
    IdeBench bench;
    bench.command(0xe7);
    bench.command(0x30, 0, 1);
    EXPECT_FALSE(bench.line()) << "the first block of a PIO write comes without one";
}

TEST(IdeInterrupt, IsHeldBackByNienAndBySelection) {
    IdeOptions options = two_disks(0, 1);
    IdeBench bench(options);
    bench.control(0x02);
    bench.command(0xe7);
    EXPECT_FALSE(bench.line());
    EXPECT_EQ(bench.master(2) & 4, 0);
    bench.control(0x00);
    EXPECT_TRUE(bench.line());
    EXPECT_EQ(bench.master(2) & 4, 4);
    bench.out(6, 0x10);
    EXPECT_FALSE(bench.line());
    bench.out(6, 0x00);
    EXPECT_TRUE(bench.line());
    bench.status();
    EXPECT_FALSE(bench.line());
}

TEST(IdeInterrupt, BothChannelsShareTheLine) {
    IdeOptions options = two_disks(0, 2);
    IdeBench bench(options);
    bench.command(0xe7);
    bench.channel = 1;
    bench.command(0xe7);
    bench.status();
    EXPECT_TRUE(bench.line());
    bench.channel = 0;
    bench.status();
    EXPECT_FALSE(bench.line());
}

TEST(IdeInterrupt, IsNotedByTheBusMasterUntilCleared) {
    IdeBench bench;
    bench.command(0xe7);
    EXPECT_EQ(bench.master(2), 0x04);
    bench.status();
    EXPECT_EQ(bench.master(2), 0x04);
    bench.master(2, 0x60);
    EXPECT_EQ(bench.master(2), 0x64) << "zero leaves it, the capable bits are kept";
    bench.master(2, 0x24);
    EXPECT_EQ(bench.master(2), 0x20);
}

TEST(IdeCompatibility, HasNoInterruptAndFixedPorts) {
    IdeOptions options = test::one_disk();
    options.controller = "piix3";
    IdeBench bench(options);
    bench.control_offset = 0;
    const PciDescription& description = bench.model.description();
    EXPECT_FALSE(description.interrupt_line);
    EXPECT_EQ(description.class_code, 0x010180U);
    EXPECT_EQ(description.bars[1].size, 1U);
    for (const std::size_t bar : {0x10U, 0x14U, 0x18U, 0x1cU}) {
        const std::array<std::byte, 4> ones{std::byte{0xff}, std::byte{0xff}, std::byte{0xff},
                                            std::byte{0xff}};
        bench.model.config().write(bar, ones);
        EXPECT_EQ(bench.model.config().get(bar, 4), 0U);
    }
    EXPECT_EQ(bench.model.config().get(0x20, 4) & 1, 1U);
    bench.command(0xe7);
    EXPECT_EQ(bench.alternate_status(), 0x50);
    EXPECT_FALSE(bench.line());
    EXPECT_EQ(bench.master(2) & 4, 4) << "the bus master sees it all the same";
}

// ---- what the controllers add ----

void config_write(IdeBench& bench, std::size_t place, unsigned value) {
    const auto byte = static_cast<std::byte>(value);
    bench.model.config().write(place, {&byte, 1});
    bench.model.config_written(place, 1);
}

TEST(IdePiix, DecodesAChannelOnlyWhileItIsEnabled) {
    IdeOptions options = test::one_disk();
    options.controller = "piix3";
    IdeBench bench(options);
    bench.control_offset = 0;
    EXPECT_EQ(bench.status(), 0x50);
    config_write(bench, 0x41, 0x00);
    EXPECT_EQ(bench.status(), 0xff);
    EXPECT_EQ(bench.alternate_status(), 0xff);
    bench.out(2, 0x77);
    bench.channel = 1;
    EXPECT_EQ(bench.status(), 0x7f);
    bench.channel = 0;
    config_write(bench, 0x41, 0x80);
    EXPECT_EQ(bench.in(2), 1);
}

TEST(IdePiix, TakesTwoWordsAtATime) {
    IdeOptions options = test::one_disk();
    options.controller = "piix4";
    IdeBench bench(options);
    const auto content = test::pattern(512, 1);
    test::on_disk(bench, 0, 3, content);
    bench.command(0x20, 3, 1);
    std::uint32_t both = 0;
    for (std::size_t i = 0; i < 512; i += 4) {
        both = static_cast<std::uint32_t>(bench.model.read(0, 0, 4));
        EXPECT_EQ(std::memcmp(&both, &content[i], 4), 0) << i;
    }
    bench.command(0x30, 4, 1);
    for (std::size_t i = 0; i < 512; i += 4) {
        std::memcpy(&both, &content[i], 4);
        bench.model.write(0, 0, 4, both);
    }
    EXPECT_EQ(test::from_disk(bench, 0, 4, 512), content);
}

IdeOptions cmd646() {
    IdeOptions options = two_disks(0, 2);
    options.controller = "cmd646";
    return options;
}

TEST(IdeCmd646, HoldsTheLineUntilTheLatchIsCleared) {
    IdeBench bench(cmd646());
    bench.command(0xe7);
    EXPECT_TRUE(bench.line());
    EXPECT_EQ(bench.model.config().get(0x50, 1), 0x04U);
    EXPECT_EQ(bench.model.config().get(0x71, 1), 0x04U);
    bench.status();
    EXPECT_TRUE(bench.line()) << "the latch holds it";
    config_write(bench, 0x50, 0x00);
    EXPECT_TRUE(bench.line());
    config_write(bench, 0x50, 0x04);
    EXPECT_FALSE(bench.line());
    EXPECT_EQ(bench.model.config().get(0x50, 1), 0x00U);
    bench.channel = 1;
    bench.command(0xe7);
    EXPECT_EQ(bench.model.config().get(0x57, 1), 0x10U);
    EXPECT_EQ(bench.model.config().get(0x71, 1), 0x08U);
    config_write(bench, 0x71, 0x08);
    EXPECT_FALSE(bench.line());
    EXPECT_EQ(bench.model.config().get(0x57, 1), 0x00U);
}

TEST(IdeCmd646, BlocksAChannelsInterrupt) {
    IdeBench bench(cmd646());
    config_write(bench, 0x71, 0x10);
    bench.command(0xe7);
    EXPECT_FALSE(bench.line());
    EXPECT_EQ(bench.model.config().get(0x71, 1), 0x14U);
    config_write(bench, 0x71, 0x00);
    EXPECT_TRUE(bench.line()) << "it waited";
    EXPECT_EQ(bench.model.read(4, 1, 1), 0x04U) << "the same register";
    bench.model.write(4, 1, 1, 0x04);
    EXPECT_FALSE(bench.line());
}

TEST(IdeCmd646, ChannelsCanBeOff) {
    IdeBench bench(cmd646());
    EXPECT_EQ(bench.model.config().get(0x51, 1), 0x0cU) << "both are on";
    for (const unsigned off : {0U, 1U}) {
        config_write(bench, 0x51, off == 0 ? 0x08 : 0x04);
        bench.channel = off;
        EXPECT_EQ(bench.status(), 0xff);
        bench.channel = 1 - off;
        EXPECT_EQ(bench.status(), 0x50);
    }
}

TEST(IdeControllers, AreRefusedInAModeThatTheyDoNotHave) {
    IdeOptions options = test::one_disk();
    options.controller = "piix3";
    options.mode = IdeMode::native;
    EXPECT_THROW(IdeModel{options}, Error);
    options.controller = "cmd640";
    options.mode.reset();
    EXPECT_THROW(IdeModel{options}, Error);
    options.controller = "cmd646";
    options.mode = IdeMode::compatibility;
    EXPECT_EQ(IdeModel(options).description().class_code, 0x01018aU);
    options.mode = IdeMode::native;
    EXPECT_EQ(IdeModel(options).description().class_code, 0x01018fU);
}

}  // namespace
}  // namespace outboard::sim
