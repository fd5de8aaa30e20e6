// The commands of the simulated ATA disk, by PIO and without data.
#include "outboard/base/error.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>

#include "tests/sim/ide_bench.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::sim {
namespace {

using test::from_disk;
using test::IdeBench;
using test::on_disk;
using test::pattern;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

constexpr std::uint64_t sectors = (64 << 20) / 512;

/// The command has ended well and the disk waits for the next.
void expect_good(IdeBench& bench) {
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_THAT(bench.breaches, IsEmpty());
}
void expect_error(IdeBench& bench, unsigned error) {
    EXPECT_EQ(bench.status(), 0x51);
    EXPECT_EQ(bench.in(1), error);
}

std::string text(std::span<const std::uint16_t> words) {
    std::string result;
    for (const std::uint16_t word : words) {
        result += static_cast<char>(word >> 8);
        result += static_cast<char>(word & 0xff);
    }
    return result.substr(0, result.find_last_not_of(' ') + 1);
}

// ---- IDENTIFY DEVICE ----

TEST(IdeIdentify, TellsWhatTheDiskIs) {
    IdeBench bench;
    const auto words = bench.identify();
    EXPECT_EQ(text(std::span(words).subspan(10, 10)), "one");
    EXPECT_EQ(text(std::span(words).subspan(27, 20)), "Outboard simulated ATA disk");
    EXPECT_EQ(words[0], 0x0040);
    EXPECT_EQ(words[49] & 0x0300, 0x0300) << "DMA, LBA";
    EXPECT_EQ(words[60] | words[61] << 16, sectors);
    EXPECT_EQ(words[100] | words[101] << 16, sectors);
    EXPECT_EQ(words[82] & 0x0060, 0x0060) << "write cache, look-ahead";
    EXPECT_EQ(words[83], 0x7400) << "48 bits, flushes";
    EXPECT_EQ(words[84], 0x4040) << "FUA";
    EXPECT_EQ(words[85] & 0x0060, 0x0060);
    EXPECT_EQ(words[88], 0x203f) << "Ultra DMA 5 selected";
    EXPECT_EQ(words[63], 0x0007);
    EXPECT_EQ(words[106], 0);
    EXPECT_EQ(words[169], 1) << "TRIM";
    unsigned sum = 0;
    for (const std::uint16_t word : words)
        sum += (word & 0xffU) + (word >> 8U);
    EXPECT_EQ(sum % 256, 0U);
    expect_good(bench);
}

TEST(IdeIdentify, IsAPioRead) {
    IdeBench bench;
    bench.out(6, 0xa0);
    bench.out(7, 0xec);
    EXPECT_TRUE(bench.line());
    EXPECT_EQ(bench.status(), 0x58);
    for (unsigned i = 0; i < 255; ++i)
        bench.data_in();
    EXPECT_EQ(bench.alternate_status(), 0x58);
    bench.data_in();
    EXPECT_EQ(bench.alternate_status(), 0x50);
    EXPECT_EQ(bench.master(2), 0x04) << "one interrupt, for the block; none for the end";
}

TEST(IdeIdentify, OfOtherDisks) {
    IdeOptions options = test::one_disk();
    options.disks[0]->storage = {.kind = StorageOptions::Kind::null, .size = std::uint64_t{3} << 40};
    options.disks[0]->write_cache = false;
    {
        IdeBench bench(options);
        const auto words = bench.identify();
        EXPECT_EQ(words[60] | words[61] << 16, 0x0fffffff);
        EXPECT_EQ(words[100] | std::uint64_t{words[101]} << 16 | std::uint64_t{words[102]} << 32,
                  (std::uint64_t{3} << 40) / 512);
        EXPECT_EQ(words[82] & 0x0020, 0);
        EXPECT_EQ(words[85] & 0x0020, 0);
        bench.command(0xef, 0, 0, 0x02);
        expect_error(bench, 0x04);
    }
    options.disks[0]->storage = {.size = 8 << 20, .block_size = 4096};
    {
        IdeBench bench(options);
        const auto words = bench.identify();
        EXPECT_EQ(words[106], 0x5000);
        EXPECT_EQ(words[117] | words[118] << 16, 2048);
        EXPECT_EQ(words[60] | words[61] << 16, 2048);
    }
    options.disks[0]->extended = false;
    IdeBench bench(options);
    const auto words = bench.identify();
    EXPECT_EQ(words[83], 0x5000);
    EXPECT_EQ(words[84], 0x4000);
    EXPECT_EQ(words[169], 0);
    bench.command_extended(0x24, 0, 1);
    expect_error(bench, 0x04);
}

TEST(IdeIdentify, RefusesDisksThatCannotBe) {
    IdeOptions options = test::one_disk();
    options.disks[0]->storage = {.size = 1 << 20, .block_size = 1024};
    EXPECT_THROW(IdeModel{options}, Error);
    options.disks[0]->storage = {.kind = StorageOptions::Kind::null, .size = std::uint64_t{1} << 40};
    options.disks[0]->extended = false;
    EXPECT_THROW(IdeModel{options}, Error);
}

// ---- SET FEATURES, SET MULTIPLE MODE ----

TEST(IdeFeatures, SwitchTheTransferMode) {
    IdeBench bench;
    const auto set = [&](unsigned mode) {
        bench.command(0xef, 0, mode, 0x03);
        return bench.status() == 0x50;
    };
    EXPECT_TRUE(set(0x22));
    EXPECT_EQ(bench.identify()[63], 0x0407);
    EXPECT_EQ(bench.identify()[88], 0x003f);
    EXPECT_TRUE(set(0x42));
    EXPECT_EQ(bench.identify()[63], 0x0007);
    EXPECT_EQ(bench.identify()[88], 0x043f);
    EXPECT_TRUE(set(0x0c));
    EXPECT_TRUE(set(0x00));
    EXPECT_EQ(bench.identify()[88], 0x043f) << "PIO modes leave the DMA mode alone";
    for (const unsigned mode : {0x02U, 0x0dU, 0x10U, 0x23U, 0x46U, 0x80U}) {
        EXPECT_FALSE(set(mode)) << mode;
        EXPECT_EQ(bench.in(1), 0x04);
    }
    EXPECT_EQ(bench.identify()[88], 0x043f);
}

TEST(IdeFeatures, SwitchLookAheadAndRefuseWhatTheyDoNotKnow) {
    IdeBench bench;
    bench.command(0xef, 0, 0, 0x55);
    expect_good(bench);
    EXPECT_EQ(bench.identify()[85] & 0x40, 0);
    bench.command(0xef, 0, 0, 0xaa);
    expect_good(bench);
    EXPECT_EQ(bench.identify()[85] & 0x40, 0x40);
    bench.command(0xef, 0, 0, 0x05);
    expect_error(bench, 0x04);
}

TEST(IdeCommands, ThatAreNotThereAreAborted) {
    IdeBench bench;
    for (const unsigned opcode :
         {0x00U, 0x10U, 0x70U, 0x91U, 0xa0U, 0xa1U, 0xb0U, 0xe0U, 0xe5U, 0xe6U, 0xf5U}) {
        bench.command(opcode);
        EXPECT_TRUE(bench.line());
        expect_error(bench, 0x04);
    }
    bench.command(0xe7);
    expect_good(bench);
    EXPECT_EQ(bench.in(1), 0) << "the error is forgotten";
}

// ---- PIO ----

TEST(IdePio, ReadsSectorsWithAnInterruptForEach) {
    IdeBench bench;
    const auto content = pattern(3 * 512, 1);
    on_disk(bench, 0, 100, content);
    bench.command(0x20, 100, 3);
    std::vector<std::byte> data;
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_EQ(bench.master(2) & 4, 4);
        bench.master(2, 4);
        EXPECT_EQ(bench.status(), 0x58);
        const auto block = bench.read_block();
        data.insert(data.end(), block.begin(), block.end());
    }
    EXPECT_EQ(data, content);
    EXPECT_EQ(bench.master(2) & 4, 0) << "none after the last";
    expect_good(bench);
}

TEST(IdePio, WritesSectorsWithAnInterruptAfterEach) {
    IdeBench bench;
    const auto content = pattern(3 * 512, 2);
    bench.command(0x30, 200, 3);
    EXPECT_EQ(bench.master(2) & 4, 0) << "none before the first";
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(bench.status(), 0x58);
        bench.write_block(std::span(content).subspan(i * 512, 512));
        EXPECT_EQ(bench.master(2) & 4, 4);
        bench.master(2, 4);
    }
    expect_good(bench);
    EXPECT_EQ(from_disk(bench, 0, 200, content.size()), content);
}

TEST(IdePio, ACountOfZeroIsTheMost) {
    IdeBench bench;
    const auto content = pattern(256 * 512, 3);
    on_disk(bench, 0, 7, content);
    bench.command(0x20, 7, 0);
    EXPECT_EQ(bench.read_block(256 * 512), content);
    expect_good(bench);
    bench.command_extended(0x42, 0, 0);
    expect_good(bench);
    bench.command_extended(0x42, sectors - 65535, 0);
    expect_error(bench, 0x10);
}

TEST(IdePio, MovesSeveralSectorsBetweenInterruptsWhenTold) {
    IdeBench bench;
    bench.command(0xc4, 0, 1);
    expect_error(bench, 0x04);
    for (const unsigned wrong : {3U, 32U}) {
        bench.command(0xc6, 0, wrong);
        expect_error(bench, 0x04);
    }
    bench.command(0xc6, 0, 4);
    expect_good(bench);
    EXPECT_EQ(bench.identify()[59], 0x0104);

    const auto content = pattern(10 * 512, 4);
    bench.command_extended(0x39, 50, 10);
    for (const std::size_t block : {0U, 4U, 8U}) {
        EXPECT_EQ(bench.status(), 0x58);
        bench.write_block(
            std::span(content).subspan(block * 512, std::min<std::size_t>(4, 10 - block) * 512));
    }
    expect_good(bench);
    bench.command(0xc4, 50, 10);
    std::vector<std::byte> data;
    for (const std::size_t block : {4U, 4U, 2U}) {
        EXPECT_EQ(bench.status(), 0x58);
        bench.master(2, 4);
        const auto part = bench.read_block(block * 512);
        data.insert(data.end(), part.begin(), part.end());
    }
    EXPECT_EQ(data, content);
    EXPECT_EQ(bench.master(2) & 4, 0);
    expect_good(bench);
}

TEST(IdePio, MovesLargeSectors) {
    IdeOptions options = test::one_disk();
    options.disks[0]->storage = {.size = 8 << 20, .block_size = 4096};
    IdeBench bench(options);
    const auto content = pattern(2 * 4096, 5);
    on_disk(bench, 0, 9, content);
    bench.command(0x20, 9, 2);
    EXPECT_EQ(bench.read_block(2 * 4096), content);
    bench.command(0x30, 20, 1);
    bench.write_block(std::span(content).first(4096));
    expect_good(bench);
    EXPECT_EQ(from_disk(bench, 0, 20, 4096), from_disk(bench, 0, 9, 4096));
}

// ---- addresses ----

TEST(IdeAddress, HasFortyEightBits) {
    IdeOptions options = test::one_disk();
    options.disks[0]->storage.size = std::uint64_t{4} << 40;
    IdeBench bench(options);
    constexpr std::uint64_t place = 0x1'2345'6789;
    const auto content = pattern(512, 6);
    bench.command_extended(0x34, place, 1);
    bench.write_block(content);
    expect_good(bench);
    EXPECT_EQ(from_disk(bench, 0, place, 512), content);
    bench.command_extended(0x24, place, 1);
    EXPECT_EQ(bench.read_block(), content);
    EXPECT_EQ(from_disk(bench, 0, place & 0xfffffff, 512), std::vector<std::byte>(512));
}

TEST(IdeAddress, OfTwentyEightBitsEndsBeforeTheLast) {
    IdeOptions options = test::one_disk();
    options.disks[0]->storage.size = std::uint64_t{4} << 40;
    IdeBench bench(options);
    bench.command(0x40, 0x0ffffffe, 1);
    expect_good(bench);
    bench.command(0x40, 0x0ffffffe, 2);
    expect_error(bench, 0x10);
    EXPECT_EQ(bench.lba_out(false), 0x0fffffffU);
    bench.command_extended(0x42, 0x0ffffffe, 2);
    expect_good(bench);
}

TEST(IdeAddress, BeyondTheEndIsNotFound) {
    IdeBench bench;
    bench.command(0x20, sectors - 1, 1);
    bench.read_block();
    expect_good(bench);
    bench.command(0x20, sectors - 1, 2);
    expect_error(bench, 0x10);
    EXPECT_EQ(bench.lba_out(false), sectors);
    bench.command_extended(0x24, 0xffff'ffff'ffff, 1);
    expect_error(bench, 0x10);
    EXPECT_EQ(bench.lba_out(true), 0xffff'ffff'ffffU);
    bench.command_extended(0x34, sectors + 5, 1);
    expect_error(bench, 0x10);
    EXPECT_EQ(bench.lba_out(true), sectors + 5);
}

TEST(IdeAddress, ByCylindersIsNotKnown) {
    IdeBench bench;
    bench.out(2, 1);
    bench.out(3, 1);
    bench.out(6, 0xa0);
    bench.out(7, 0x20);
    expect_error(bench, 0x04);
}

// ---- sectors that cannot be read ----

TEST(IdeBadSectors, AreToldWithTheirAddress) {
    IdeOptions options = test::one_disk();
    options.disks[0]->bad = {{.first = 2048, .count = 8}, {.first = 3, .count = 1}};
    IdeBench bench(options);
    bench.command(0x20, 2046, 4);
    bench.read_block();
    bench.status();
    bench.read_block();
    expect_error(bench, 0x40);
    EXPECT_EQ(bench.lba_out(false), 2048U);
    bench.command_extended(0x42, 0, 4096);
    expect_error(bench, 0x40);
    EXPECT_EQ(bench.lba_out(true), 3U);
    bench.command(0x40, 2056, 100);
    expect_good(bench);
    bench.command(0x30, 2048, 1);
    bench.write_block(pattern(512, 1));
    expect_good(bench);
}

// ---- the write cache ----

TEST(IdeWriteCache, IsLostWithThePowerUnlessFlushed) {
    IdeBench bench;
    const auto write = [&](std::uint64_t lba, unsigned seed) {
        bench.command(0x30, lba, 1);
        bench.write_block(pattern(512, seed));
        EXPECT_EQ(bench.status(), 0x50);
    };
    Storage& storage = bench.model.disk(0)->storage();
    for (const unsigned flush : {0xe7U, 0xeaU}) {
        write(1, flush);
        EXPECT_EQ(storage.unstable_bytes(), 512U);
        flush == 0xea ? bench.command_extended(flush) : bench.command(flush);
        expect_good(bench);
        EXPECT_EQ(storage.unstable_bytes(), 0U);
    }
    bench.command(0xef, 0, 0, 0x82);
    write(2, 2);
    EXPECT_EQ(storage.unstable_bytes(), 0U) << "it is off";
    bench.command(0xef, 0, 0, 0x02);
    for (std::uint64_t lba = 100; lba < 200; ++lba)
        write(lba, 3);
    bench.model.cut_power(1);
    EXPECT_EQ(from_disk(bench, 0, 1, 512), pattern(512, 0xea));
    EXPECT_EQ(from_disk(bench, 0, 2, 512), pattern(512, 2));
    unsigned lost = 0;
    for (std::uint64_t lba = 100; lba < 200; ++lba)
        lost += from_disk(bench, 0, lba, 512) == std::vector<std::byte>(512) ? 1U : 0U;
    EXPECT_GT(lost, 20U);
    EXPECT_LT(lost, 80U);
}

TEST(IdeWriteCache, IsFlushedWhenItIsSwitchedOff) {
    IdeBench bench;
    bench.command(0x30, 1, 1);
    bench.write_block(pattern(512, 1));
    bench.command(0xef, 0, 0, 0x82);
    EXPECT_EQ(bench.model.disk(0)->storage().unstable_bytes(), 0U);
}

// ---- service time ----

TEST(IdeLatency, IsWhatACommandTakes) {
    IdeOptions options = test::one_disk();
    options.disks[0]->latency = 10ms;
    IdeBench bench(options);
    bench.identify();
    bench.command(0x20, 0, 1);
    EXPECT_EQ(bench.status() & 0x80, 0x80);
    bench.model.timers().run(Clock::now() + 5ms);
    EXPECT_EQ(bench.status() & 0x80, 0x80);
    EXPECT_FALSE(bench.model.interrupts().line());
    bench.model.timers().run(Clock::now() + 11ms);
    EXPECT_TRUE(bench.line());
    EXPECT_EQ(bench.status(), 0x58);
    bench.read_block();
    EXPECT_EQ(bench.status(), 0x50);

    bench.command(0x30, 0, 1);
    EXPECT_EQ(bench.status(), 0x58);
    bench.write_block(pattern(512, 1));
    EXPECT_EQ(bench.status() & 0x80, 0x80);
    bench.model.timers().run(Clock::now() + 11ms);
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_EQ(from_disk(bench, 0, 0, 512), pattern(512, 1));
}

}  // namespace
}  // namespace outboard::sim
