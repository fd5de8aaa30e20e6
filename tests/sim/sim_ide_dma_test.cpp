// The bus master of the simulated IDE controller: PRD tables of every shape, status bits, and how transfers
// fail.
#include <array>
#include <chrono>

#include "tests/sim/ide_bench.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::sim {
namespace {

using test::from_disk;
using test::IdeBench;
using test::on_disk;
using test::pattern;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

constexpr std::uint32_t base = IdeBench::memory_base;
// Bus master status: interrupt, error, active.
constexpr unsigned interrupt = 4;
constexpr unsigned error = 2;
constexpr unsigned active = 1;

std::vector<std::byte> memory(IdeBench& bench, std::uint64_t address, std::size_t size) {
    const auto bytes = bench.at(address, size);
    return {bytes.begin(), bytes.end()};
}
void set_memory(IdeBench& bench, std::uint64_t address, std::span<const std::byte> bytes) {
    std::memcpy(bench.at(address, bytes.size()).data(), bytes.data(), bytes.size());
}

TEST(IdeDma, ReadsAndWrites) {
    IdeBench bench;
    const auto content = pattern(16 * 512, 1);
    on_disk(bench, 0, 64, content);
    bench.dma_read(64, 16, base);
    EXPECT_TRUE(bench.line());
    EXPECT_EQ(bench.master(2), interrupt);
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_EQ(memory(bench, base, content.size()), content);
    bench.stop();
    bench.dma_write(1000, 16, base);
    EXPECT_EQ(bench.master(2), interrupt);
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_EQ(from_disk(bench, 0, 1000, content.size()), content);
    EXPECT_THAT(bench.breaches, IsEmpty());
}

TEST(IdeDma, BeginsWithTheCommandWhenTheBusMasterWasStartedFirst) {
    IdeBench bench;
    const auto content = pattern(512, 2);
    on_disk(bench, 0, 5, content);
    bench.fill_table({{base, 512, 0}});
    bench.prepare(true);
    bench.start(true);
    EXPECT_EQ(bench.master(2), active);
    bench.command(0xc8, 5, 1);
    EXPECT_EQ(bench.master(2), interrupt);
    EXPECT_EQ(memory(bench, base, 512), content);
}

TEST(IdeDma, WaitsForTheBusMaster) {
    IdeBench bench;
    bench.command(0xc8, 5, 1);
    EXPECT_EQ(bench.status(), 0x58) << "DRQ, and no interrupt";
    EXPECT_FALSE(bench.line());
}

TEST(IdeDma, GathersAndScattersAnyEvenPieces) {
    IdeBench bench;
    const auto content = pattern(4 * 512, 3);
    on_disk(bench, 0, 8, content);
    // 2 + 1000 + 510 + 536 = 2048: sectors are split in the middle.
    bench.fill_table(
        {{base + 6, 2, 0}, {base + 0x2000, 1000, 0x7fff}, {base + 0x1002, 510, 0}, {base + 0x8000, 536, 0}});
    bench.prepare(true);
    bench.command(0xc8, 8, 4);
    bench.start(true);
    EXPECT_EQ(bench.master(2), interrupt);
    std::vector<std::byte> gathered = memory(bench, base + 6, 2);
    for (const auto& [address, size] :
         {std::pair{base + 0x2000, 1000}, {base + 0x1002, 510}, {base + 0x8000, 536}}) {
        const auto part = memory(bench, address, static_cast<std::size_t>(size));
        gathered.insert(gathered.end(), part.begin(), part.end());
    }
    EXPECT_EQ(gathered, content);
    bench.status();
    bench.stop();
    bench.prepare(false);
    bench.command(0xca, 900, 4);
    bench.start(false);
    EXPECT_EQ(from_disk(bench, 0, 900, content.size()), content);
    EXPECT_THAT(bench.breaches, IsEmpty());
}

TEST(IdeDma, ACountOfZeroIs64KiB) {
    IdeBench bench;
    const auto content = pattern(256 * 512, 4);
    on_disk(bench, 0, 0, content);
    bench.fill_table({{base, 0, 0}, {base + 0x10000, 0, 0}});
    bench.prepare(true);
    bench.command(0xc8, 0, 0);
    bench.start(true);
    EXPECT_EQ(bench.master(2), interrupt);
    EXPECT_EQ(memory(bench, base, content.size()), content);
    EXPECT_THAT(bench.breaches, IsEmpty());
}

TEST(IdeDma, MovesAMegabyteWithALongTable) {
    IdeBench bench;
    const auto content = pattern(1 << 20, 5);
    set_memory(bench, base, content);
    for (std::uint32_t i = 0; i < 512; ++i) {
        bench.put(IdeBench::table + 8 * i, base + 2048 * i);
        bench.put(IdeBench::table + 8 * i + 4, 2048 | (i == 511 ? 0x80000000U : 0U));
    }
    bench.prepare(false);
    bench.command_extended(0x35, 10, 2048);
    bench.start(false);
    EXPECT_EQ(bench.master(2), interrupt);
    EXPECT_EQ(from_disk(bench, 0, 10, content.size()), content);
    std::memset(bench.at(base, content.size()).data(), 0, content.size());
    bench.status();
    bench.stop();
    bench.prepare(true);
    bench.command_extended(0x25, 10, 2048);
    bench.start(true);
    EXPECT_EQ(memory(bench, base, content.size()), content);
}

// ---- the table and the command do not agree (SFF-8038i, 3.3: the meaning of the status bits) ----

TEST(IdeDma, ATableThatIsTooLongStaysActive) {
    IdeBench bench;
    const auto content = pattern(512, 6);
    on_disk(bench, 0, 0, content);
    std::memset(bench.at(base, 2048).data(), 0xee, 2048);
    bench.fill_table({{base, 1024, 0}});
    bench.prepare(true);
    bench.command(0xc8, 0, 1);
    bench.start(true);
    EXPECT_EQ(bench.master(2), interrupt | active);
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_EQ(memory(bench, base, 512), content);
    EXPECT_EQ(memory(bench, base + 512, 512), std::vector<std::byte>(512, std::byte{0xee}));
    bench.stop();
    EXPECT_EQ(bench.master(2), interrupt);
}

TEST(IdeDma, ATableThatIsExactButGoesOnStaysActive) {
    IdeBench bench;
    bench.fill_table({{base, 512, 0}, {base + 512, 512, 0}});
    bench.prepare(true);
    bench.command(0xc8, 0, 1);
    bench.start(true);
    EXPECT_EQ(bench.master(2), interrupt | active);
}

TEST(IdeDma, ATableThatIsTooShortLeavesTheDiskWaiting) {
    IdeBench bench;
    bench.fill_table({{base, 510, 0}});
    bench.prepare(true);
    bench.command(0xc8, 0, 1);
    bench.start(true);
    EXPECT_EQ(bench.master(2), 0) << "neither interrupt nor active";
    EXPECT_EQ(bench.status(), 0x58);
    bench.control(0x04);
    bench.control(0x00);
    EXPECT_EQ(bench.status(), 0x50);
}

TEST(IdeDma, TheOtherDirectionMovesNothing) {
    IdeBench bench;
    const auto content = pattern(512, 7);
    on_disk(bench, 0, 0, content);
    bench.fill_table({{base, 512, 0}});
    bench.prepare(true);
    bench.command(0xca, 0, 1);
    bench.start(true);
    EXPECT_EQ(bench.master(2), active);
    EXPECT_EQ(bench.status(), 0x58);
    EXPECT_EQ(from_disk(bench, 0, 0, 512), content);
    EXPECT_THAT(bench.breaches, Contains(HasSubstr("other direction")));
}

TEST(IdeDma, StoppingEndsTheTransferAndNotTheCommand) {
    IdeOptions options = test::one_disk();
    options.disks[0]->latency = 1s;
    IdeBench bench(options);
    bench.dma_read(0, 1, base);
    EXPECT_EQ(bench.master(2), active);
    EXPECT_EQ(bench.alternate_status() & 0x80, 0x80);
    bench.stop();
    EXPECT_EQ(bench.master(2), 0);
    bench.model.timers().run(Clock::now() + 2s);
    EXPECT_EQ(bench.status(), 0x58);
    EXPECT_EQ(bench.master(2), 0);
}

TEST(IdeDma, TakesItsTime) {
    IdeOptions options = test::one_disk();
    options.disks[0]->latency = 1s;
    IdeBench bench(options);
    bench.dma_read(0, 1, base);
    bench.model.timers().run(Clock::now() + 900ms);
    EXPECT_EQ(bench.master(2), active);
    bench.model.timers().run(Clock::now() + 1100ms);
    EXPECT_EQ(bench.master(2), interrupt);
    EXPECT_TRUE(bench.line());
}

// ---- rules of the table ----

TEST(IdeDma, OddAddressesAndLengthsLoseTheirLastBit) {
    IdeBench bench;
    const auto content = pattern(512, 8);
    on_disk(bench, 0, 0, content);
    bench.fill_table({{base + 1, 257, 0}, {base + 256, 256, 0}});
    bench.prepare(true);
    bench.command(0xc8, 0, 1);
    bench.start(true);
    EXPECT_EQ(bench.master(2), interrupt);
    EXPECT_EQ(memory(bench, base, 512), content);
    EXPECT_THAT(bench.breaches, Contains(HasSubstr("odd")));
}

TEST(IdeDma, ARegionWrapsAtItsBoundary) {
    IdeBench bench;
    const auto content = pattern(1024, 9);
    on_disk(bench, 0, 0, content);
    bench.fill_table({{base + 0xfe00, 1024, 0}});
    bench.prepare(true);
    bench.command(0xc8, 0, 2);
    bench.start(true);
    EXPECT_EQ(memory(bench, base + 0xfe00, 512), std::vector(content.begin(), content.begin() + 512));
    EXPECT_EQ(memory(bench, base, 512), std::vector(content.begin() + 512, content.end()));
    EXPECT_THAT(bench.breaches, Contains(HasSubstr("crosses a multiple of 64 KiB")));
}

TEST(IdeDma, TheTableWrapsAtItsBoundary) {
    IdeBench bench;
    const auto content = pattern(1024, 10);
    on_disk(bench, 0, 0, content);
    bench.fill_table({{base, 512, 0}}, false, IdeBench::table + 0xfff8);
    bench.fill_table({{base + 512, 512, 0}}, true, IdeBench::table);
    bench.prepare(true, IdeBench::table + 0xfff8);
    bench.command(0xc8, 0, 2);
    bench.start(true);
    EXPECT_EQ(memory(bench, base, 1024), content);
    EXPECT_THAT(bench.breaches, Contains(HasSubstr("table crosses")));
}

TEST(IdeDma, ThePointerIsAMultipleOfFour) {
    IdeBench bench;
    bench.table_pointer(0x12345);
    EXPECT_EQ(bench.model.read(4, 4, 4), 0x12344U);
    EXPECT_EQ(bench.model.read(4, 6, 2), 0x1U);
    EXPECT_EQ(bench.breaches.size(), 1U);
}

// ---- memory that is not there ----

TEST(IdeDma, ToMemoryThatIsNotMappedIsABusError) {
    IdeBench bench;
    bench.fill_table({{base, 512, 0}, {0x80000000, 512, 0}});
    bench.prepare(true);
    bench.command(0xc8, 0, 2);
    bench.start(true);
    EXPECT_EQ(bench.master(2), error);
    EXPECT_EQ(bench.status(), 0x58) << "the disk still has data";
    EXPECT_FALSE(bench.line());
    EXPECT_EQ(bench.model.dma().counts().write_faults, 1U);
}

TEST(IdeDma, FromMemoryThatIsNotMappedWritesNothing) {
    IdeBench bench;
    const auto content = pattern(1024, 11);
    on_disk(bench, 0, 0, content);
    bench.fill_table({{base, 512, 0}, {0x80000000, 512, 0}});
    bench.prepare(false);
    bench.command(0xca, 0, 2);
    bench.start(false);
    EXPECT_EQ(bench.master(2), error);
    EXPECT_EQ(bench.status(), 0x58);
    EXPECT_EQ(from_disk(bench, 0, 0, 1024), content);
    EXPECT_EQ(bench.model.dma().counts().read_faults, 1U);
}

TEST(IdeDma, WithATableThatIsNotMappedIsABusError) {
    IdeBench bench;
    bench.prepare(true, 0x80000000);
    bench.command(0xc8, 0, 1);
    bench.start(true);
    EXPECT_EQ(bench.master(2), error);
    EXPECT_EQ(bench.status(), 0x58);
}

TEST(IdeDma, WithoutBusMasteringIsABusError) {
    IdeBench bench;
    bench.model.dma().set_bus_master(false);
    bench.dma_read(0, 1, base);
    EXPECT_EQ(bench.master(2), error);
}

TEST(IdeDma, AcrossMappingsIsOneTransfer) {
    IdeBench bench;
    // The memory again, at another address: a region across the seam lies in two mappings.
    const Fd file(::memfd_create("ide-bench", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), 8192), 0);
    const std::uint64_t seam = base + IdeBench::memory_size;
    ASSERT_EQ(bench.model.dma().add(seam, 8192, {.readable = true, .writable = true}, file, 0), 0);
    const auto content = pattern(4096, 12);
    on_disk(bench, 0, 0, content);
    bench.fill_table(
        {{static_cast<std::uint32_t>(seam - 2048), 2048, 0}, {static_cast<std::uint32_t>(seam), 2048, 0}});
    bench.prepare(true);
    bench.command(0xc8, 0, 8);
    bench.start(true);
    EXPECT_EQ(bench.master(2), interrupt);
    std::array<std::byte, 2048> second{};
    ASSERT_EQ(::pread(file.get(), second.data(), second.size(), 0), 2048);
    EXPECT_EQ(std::memcmp(second.data(), &content[2048], 2048), 0);
}

// ---- disk errors ----

TEST(IdeDma, OfBadSectorsMovesWhatIsBeforeThem) {
    IdeOptions options = test::one_disk();
    options.disks[0]->bad = {{.first = 2050, .count = 1}};
    IdeBench bench(options);
    const auto content = pattern(8 * 512, 13);
    on_disk(bench, 0, 2048, content);
    std::memset(bench.at(base, 4096).data(), 0xee, 4096);
    bench.dma_read(2048, 8, base);
    EXPECT_TRUE(bench.line());
    EXPECT_EQ(bench.master(2), interrupt | active);
    EXPECT_EQ(bench.status(), 0x51);
    EXPECT_EQ(bench.in(1), 0x40);
    EXPECT_EQ(bench.lba_out(false), 2050U);
    EXPECT_EQ(memory(bench, base, 1024), std::vector(content.begin(), content.begin() + 1024));
    EXPECT_EQ(memory(bench, base + 1024, 512), std::vector<std::byte>(512, std::byte{0xee}));
    bench.stop();
    bench.dma_read(2051, 4, base);
    EXPECT_EQ(bench.master(2), interrupt);
    EXPECT_EQ(bench.status(), 0x50);
}

TEST(IdeDma, BeyondTheEndMovesNothing) {
    IdeBench bench;
    bench.dma_read((64 << 20) / 512 - 1, 2, base);
    EXPECT_EQ(bench.master(2), interrupt | active);
    EXPECT_EQ(bench.status(), 0x51);
    EXPECT_EQ(bench.in(1), 0x10);
}

// ---- force unit access and TRIM ----

TEST(IdeDma, WithForceUnitAccessIsStable) {
    IdeBench bench;
    Storage& storage = bench.model.disk(0)->storage();
    bench.dma_write(0, 1, base);
    EXPECT_EQ(storage.unstable_bytes(), 512U);
    bench.stop();
    bench.fill_table({{base, 512, 0}});
    bench.prepare(false);
    bench.command_extended(0x3d, 1, 1);
    bench.start(false);
    EXPECT_EQ(bench.status(), 0x50);
    EXPECT_EQ(storage.unstable_bytes(), 512U);
}

struct Range {
    std::uint64_t lba;
    std::uint64_t count;
};

void trim(IdeBench& bench, std::initializer_list<Range> ranges, unsigned blocks = 1, unsigned features = 1) {
    std::memset(bench.at(base, blocks * 512).data(), 0, blocks * 512);
    std::uint64_t place = base;
    for (const Range& range : ranges) {
        const std::uint64_t entry = range.lba | range.count << 48;
        std::memcpy(bench.at(place, 8).data(), &entry, 8);
        place += 8;
    }
    bench.fill_table({{base, blocks * 512, 0}});
    bench.prepare(false);
    bench.command_extended(0x06, 0, blocks, features);
    bench.start(false);
}

TEST(IdeTrim, ForgetsItsRangesAndNothingElse) {
    IdeBench bench;
    const auto content = pattern(100 * 512, 14);
    on_disk(bench, 0, 0, content);
    trim(bench, {{10, 5}, {0, 0}, {50, 10}, {52, 1}}, 2);
    EXPECT_EQ(bench.master(2), interrupt);
    EXPECT_EQ(bench.status(), 0x50);
    const auto now = from_disk(bench, 0, 0, content.size());
    for (std::size_t sector = 0; sector < 100; ++sector) {
        const bool trimmed = (sector >= 10 && sector < 15) || (sector >= 50 && sector < 60);
        const bool same = std::memcmp(&now[sector * 512], &content[sector * 512], 512) == 0;
        EXPECT_EQ(same, !trimmed) << sector;
    }
}

TEST(IdeTrim, LooksAtAllRangesFirst) {
    IdeBench bench;
    const auto content = pattern(512, 15);
    on_disk(bench, 0, 0, content);
    trim(bench, {{0, 1}, {(64 << 20) / 512 - 1, 2}});
    EXPECT_EQ(bench.status(), 0x51);
    EXPECT_EQ(bench.in(1), 0x10);
    EXPECT_EQ(from_disk(bench, 0, 0, 512), content);
}

TEST(IdeTrim, IsRefusedWithoutItsBitOrWithTooManyBlocks) {
    IdeBench bench;
    trim(bench, {{0, 1}}, 1, 0);
    EXPECT_EQ(bench.status(), 0x51);
    EXPECT_EQ(bench.in(1), 0x04);
    bench.stop();
    trim(bench, {{0, 1}}, 9);
    EXPECT_EQ(bench.in(1), 0x04);
}

}  // namespace
}  // namespace outboard::sim
