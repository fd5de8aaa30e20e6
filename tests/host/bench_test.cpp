// The load generator, its histogram and its pattern, and what it refuses to overwrite.
#include "outboard/base/error.hpp"
#include "outboard/host/bench_pattern.hpp"
#include "outboard/host/block_bench.hpp"
#include "outboard/host/disk_content.hpp"
#include "outboard/host/latency_histogram.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <vector>

#include "tests/support/memory_disk.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using test::MemoryDisk;

// ---- histogram ----

TEST(LatencyHistogram, HasNoPercentilesWithoutValues) {
    const LatencyHistogram histogram;
    EXPECT_EQ(histogram.count(), 0U);
    EXPECT_EQ(histogram.percentile(0.5), 0U);
}

TEST(LatencyHistogram, IsExactForSmallValues) {
    LatencyHistogram histogram;
    for (std::uint64_t value = 1; value <= 100; ++value)
        histogram.record(value);
    EXPECT_EQ(histogram.percentile(0), 1U);
    EXPECT_EQ(histogram.percentile(0.5), 50U);
    EXPECT_EQ(histogram.percentile(0.99), 99U);
    EXPECT_EQ(histogram.percentile(1), 100U);
}

TEST(LatencyHistogram, IsNeverBelowAndAtMostOneStepAboveEveryValue) {
    for (std::uint64_t value = 1; value < 1ULL << 62; value += value / 4 + 1) {
        LatencyHistogram histogram;
        histogram.record(value);
        const std::uint64_t bound = histogram.percentile(0.5);
        EXPECT_GE(bound, value);
        EXPECT_LE(bound - value, value / 64);
    }
}

TEST(LatencyHistogram, KeepsTheTailApart) {
    LatencyHistogram histogram;
    for (int i = 0; i < 9990; ++i)
        histogram.record(1000);
    for (int i = 0; i < 10; ++i)
        histogram.record(1'000'000);
    EXPECT_NEAR(static_cast<double>(histogram.percentile(0.99)), 1000, 16);
    EXPECT_NEAR(static_cast<double>(histogram.percentile(0.9995)), 1'000'000, 16'000);
}

TEST(LatencyHistogram, TakesTheLargestNumbers) {
    LatencyHistogram histogram;
    histogram.record(~0ULL);
    EXPECT_GE(histogram.percentile(0.5), 1ULL << 62);
}

TEST(LatencyHistogram, AddsUp) {
    LatencyHistogram one;
    LatencyHistogram other;
    one.record(10);
    other.record(20);
    one.merge(other);
    EXPECT_EQ(one.count(), 2U);
    EXPECT_EQ(one.percentile(1), 20U);
}

// ---- pattern ----

TEST(BenchPattern, TellsBlocksSeedsAndGenerationsApart) {
    std::vector<std::byte> block(1024);
    bench::fill_pattern(block, 1, 7, 3);
    EXPECT_TRUE(bench::matches_pattern(block, 1, 7, 3));
    EXPECT_TRUE(bench::matches_pattern(block, 1, 7, std::nullopt));
    EXPECT_FALSE(bench::matches_pattern(block, 1, 7, 4));
    EXPECT_FALSE(bench::matches_pattern(block, 1, 8, 3));
    EXPECT_FALSE(bench::matches_pattern(block, 2, 7, 3));
    block[1000] ^= std::byte{1};
    EXPECT_FALSE(bench::matches_pattern(block, 1, 7, std::nullopt));
}

TEST(BenchPattern, SeesATornBlock) {
    std::vector<std::byte> block(1024);
    std::vector<std::byte> older(1024);
    bench::fill_pattern(block, 1, 7, 3);
    bench::fill_pattern(older, 1, 7, 2);
    std::memcpy(block.data() + 512, older.data() + 512, 512);
    EXPECT_FALSE(bench::matches_pattern(block, 1, 7, std::nullopt));
}

TEST(BenchPattern, IsNotSeenInZeroes) {
    const std::vector<std::byte> zeroes(512);
    EXPECT_FALSE(bench::matches_pattern(zeroes, 0, 0, std::nullopt));
}

// ---- load ----

BlockBenchOptions short_run() {
    BlockBenchOptions options;
    options.duration = 20ms;
    options.depth = 8;
    return options;
}

TEST(BlockBench, CountsWhatItMoves) {
    RunLoop loop;
    MemoryDisk disk;
    const auto result = run_block_bench(loop, disk, short_run());
    EXPECT_GT(result->requests, 8U);
    EXPECT_EQ(result->bytes, result->requests * 4096);
    EXPECT_EQ(result->latency.count(), result->requests);
    EXPECT_EQ(result->errors, 0U);
    EXPECT_GE(result->elapsed, 20ms);
    EXPECT_GT(result->cpu, 0ns);
    EXPECT_THAT(disk.seen, testing::Each(BlockOperation::read));
}

TEST(BlockBench, EndsEarlyWhenToldTo) {
    RunLoop loop;
    MemoryDisk disk;
    std::atomic<bool> stop = true;
    BlockBenchOptions options = short_run();
    options.duration = 1h;
    options.warmup = 1h;
    options.read_percent = 0;
    options.verify = true;
    options.stop = &stop;
    const auto result = run_block_bench(loop, disk, options);
    EXPECT_LT(result->elapsed, 1min);
    EXPECT_EQ(result->blocks_verified, 0U);
}

TEST(BlockBench, DoesNotTouchMoreThanItsRangeWithManyThreads) {
    RunLoop loop;
    MemoryDisk disk;
    BlockDevice* const disks[] = {&disk};
    BlockBenchOptions options = short_run();
    options.random = false;
    options.read_percent = 0;
    options.size = 8192;
    EXPECT_THROW(static_cast<void>(run_block_benches(loop, disks, options, {.threads = 3})), Error);
    EXPECT_TRUE(disk.seen.empty());
}

TEST(BlockBench, SpacesRequestsByItsRate) {
    RunLoop loop;
    MemoryDisk disk;
    BlockBenchOptions options = short_run();
    options.duration = 100ms;
    options.rate = 200;
    const auto result = run_block_bench(loop, disk, options);
    EXPECT_GE(result->requests, 15U);
    EXPECT_LE(result->requests, 21U);
}

TEST(BlockBench, StaysInItsRangeAndWritesInOrder) {
    RunLoop loop;
    MemoryDisk disk;
    BlockBenchOptions options = short_run();
    options.random = false;
    options.read_percent = 0;
    options.offset = 64 * 1024;
    options.size = 128 * 1024;
    const auto result = run_block_bench(loop, disk, options);
    EXPECT_EQ(result->errors, 0U);
    EXPECT_THAT(std::span(disk.content).first(options.offset), testing::Each(std::byte{0}));
    EXPECT_THAT(std::span(disk.content).subspan(options.offset + options.size), testing::Each(std::byte{0}));
    EXPECT_NE(disk.content[options.offset + 8], std::byte{0});
}

TEST(BlockBench, MixesAsItIsTold) {
    RunLoop loop;
    MemoryDisk disk;
    BlockBenchOptions options = short_run();
    options.read_percent = 30;
    run_block_bench(loop, disk, options);
    const auto reads = static_cast<double>(std::ranges::count(disk.seen, BlockOperation::read));
    EXPECT_NEAR(reads / static_cast<double>(disk.seen.size()), 0.3, 0.1);
}

TEST(BlockBench, ReadsBackWhatItWrote) {
    RunLoop loop;
    MemoryDisk disk;
    BlockBenchOptions options = short_run();
    options.read_percent = 50;
    options.verify = true;
    const auto result = run_block_bench(loop, disk, options);
    EXPECT_EQ(result->errors, 0U);
    EXPECT_GT(result->blocks_verified, 0U);
    EXPECT_EQ(result->blocks_differing, 0U);
}

TEST(BlockBench, FindsABlockThatChangedBehindItsBack) {
    RunLoop loop;
    MemoryDisk disk;
    BlockBenchOptions options = short_run();
    options.random = false;
    options.read_percent = 0;
    options.verify = true;
    options.size = std::uint64_t{16} * 4096;
    // On a busy machine one run may not get round.
    const auto has_holes = [&disk, &options] {
        for (std::size_t block = 0; block < options.size; block += 4096)
            if (disk.content[block] == std::byte{} &&
                disk.content[block + 1] == std::byte{})  // the generation
                return true;
        return false;
    };
    for (int run = 0; run == 0 || (run < 100 && has_holes()); ++run)
        ASSERT_EQ(run_block_bench(loop, disk, options)->errors, 0U);
    options.read_percent = 100;
    ASSERT_EQ(run_block_bench(loop, disk, options)->errors, 0U);
    disk.content[5 * 4096 + 100] ^= std::byte{1};
    const auto result = run_block_bench(loop, disk, options);
    EXPECT_GT(result->blocks_differing, 0U);
    EXPECT_EQ(result->errors, result->blocks_differing);
}

TEST(BlockBench, CountsErrorsAndKeepsThemOutOfTheBytes) {
    RunLoop loop;
    MemoryDisk disk;
    disk.fails_at = 4096;
    BlockBenchOptions options = short_run();
    options.random = false;
    options.size = 2 * 4096;
    const auto result = run_block_bench(loop, disk, options);
    EXPECT_GT(result->errors, 0U);
    EXPECT_EQ(result->first_error, BlockStatus::media_error);
    EXPECT_LT(result->bytes, result->requests * 4096);
}

TEST(BlockBench, TellsItsProgress) {
    RunLoop loop;
    MemoryDisk disk;
    std::vector<double> parts;
    run_block_bench(loop, disk, short_run(), [&parts](double part) { parts.push_back(part); });
    ASSERT_FALSE(parts.empty());
    EXPECT_THAT(parts, testing::Each(testing::AllOf(testing::Ge(0.0), testing::Le(1.0))));
}

TEST(BlockBench, RefusesWhatTheDiskCannotDo) {
    RunLoop loop;
    MemoryDisk disk;
    const auto refused = [&](auto change, std::string_view text) {
        BlockBenchOptions options = short_run();
        change(options);
        try {
            run_block_bench(loop, disk, options);
            ADD_FAILURE() << "not refused: " << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::usage);
            EXPECT_THAT(error.what(), testing::HasSubstr(std::string(text)));
        }
    };
    refused([](BlockBenchOptions& o) { o.io_size = 700; }, "not a whole number of its blocks");
    refused([](BlockBenchOptions& o) { o.io_size = 1 << 20; }, "at most 131072 bytes at once");
    refused([](BlockBenchOptions& o) { o.offset = 100; }, "not the start of one of its blocks");
    refused([](BlockBenchOptions& o) { o.offset = 2 << 20; }, "not the start of one of its blocks");
    refused([](BlockBenchOptions& o) { o.size = 2 << 20; }, "go beyond its end");
    refused([](BlockBenchOptions& o) { o.size = 512; }, "smaller than one request");
}

// ---- content ----

void put(std::vector<std::byte>& bytes, std::size_t offset, std::string_view text) {
    std::memcpy(bytes.data() + offset, text.data(), text.size());
}

TEST(DiskContent, IsNothingOnABlankDisk) {
    std::vector<std::byte> bytes(content_probe_bytes);
    EXPECT_EQ(known_content(bytes), "");
    EXPECT_EQ(known_content({}), "");
    std::ranges::fill(bytes, std::byte{0xff});
    EXPECT_EQ(known_content(bytes), "");
}

TEST(DiskContent, RecognizesWhatPeopleKeepOnDisks) {
    const auto content = [](std::size_t offset, std::string_view text) {
        std::vector<std::byte> bytes(content_probe_bytes);
        put(bytes, offset, text);
        return known_content(bytes);
    };
    EXPECT_EQ(content(0x438, "\x53\xef"), "an ext file system");
    EXPECT_EQ(content(0, "XFSB"), "an XFS file system");
    EXPECT_EQ(content(0x10040, "_BHRfS_M"), "a btrfs file system");
    EXPECT_EQ(content(0x200, "EFI PART"), "a GPT partition table");
    EXPECT_EQ(content(0x1fe, "\x55\xaa"), "a partition table or boot sector");
    EXPECT_EQ(content(0x200, "LABELONE"), "an LVM physical volume");
    EXPECT_EQ(content(0, "LUKS\xba\xbe"), "an encrypted LUKS volume");
    EXPECT_EQ(content(0xff6, "SWAPSPACE2"), "swap space");
}

TEST(DiskContent, IsReadFromTheDisk) {
    RunLoop loop;
    MemoryDisk disk;
    put(disk.content, 0x438, "\x53\xef");
    const std::vector<std::byte> start = loop.run(read_disk_start(loop, disk));
    EXPECT_EQ(start.size(), content_probe_bytes);
    EXPECT_EQ(known_content(start), "an ext file system");
    MemoryDisk tiny(16 * 512);
    EXPECT_EQ(loop.run(read_disk_start(loop, tiny)).size(), 16U * 512);
}

}  // namespace
}  // namespace outboard
