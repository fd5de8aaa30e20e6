// The IDE driver on four disks that behave. The controller and its disks: ide_place.hpp.
#include <algorithm>
#include <array>
#include <string_view>

#include "tests/drivers/ide/ide_load.hpp"
#include <gmock/gmock.h>

namespace outboard::test {
namespace {

using ::testing::IsEmpty;

constexpr std::uint64_t mebibyte = 1U << 20;
constexpr std::uint64_t gibibyte = 1U << 30;
constexpr std::array<std::string_view, 4> serials{"ide0", "ide1", "ide2", "ide3"};

TEST(IdeSuite, FindsTheDisksInTheirPlaces) {
    OurIde ours;
    ASSERT_EQ(ours.disks().size(), serials.size());
    for (std::size_t place = 0; place < serials.size(); ++place) {
        const BlockInfo& info = ours.disks()[place]->info();
        EXPECT_EQ(info.serial, serials[place]);
        EXPECT_GE(info.capacity, gibibyte);
        EXPECT_EQ(info.block_size, 512U);
        EXPECT_TRUE(info.volatile_write_cache);
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

class IdeSuitePlace : public ::testing::TestWithParam<std::string_view> {};

TEST_P(IdeSuitePlace, VerifiesMixedSizesAtBothDepths) {
    OurIde ours;
    ours.open(GetParam());
    for (const unsigned depth : {1U, 32U}) {
        VerifyingLoad load(
            ours, {.offset = 64 * mebibyte, .size = 64 * mebibyte, .largest = mebibyte, .depth = depth});
        load.run();
        ASSERT_FALSE(HasFailure());
        load.check_all();
        fmt::print("{}, depth {}: {} reads and {} writes agree\n", GetParam(), depth, load.reads,
                   load.writes);
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Places, IdeSuitePlace, ::testing::ValuesIn(serials));

TEST(IdeSuite, BothDisksOfAChannelWorkAtTheSameTime) {
    OurIde ours;
    const auto first = ours.disk("ide2").open_queue(ours.loop);
    const auto second = ours.disk("ide3").open_queue(ours.loop);
    struct Stream {
        BlockQueue* queue;
        std::uint32_t version;
        BlockRequest request{};
        DmaSpan data{};
        std::uint64_t sector = 0;
        unsigned done = 0;
    };
    std::array<Stream, 2> streams{Stream{.queue = first.get(), .version = 5},
                                  Stream{.queue = second.get(), .version = 6}};
    // Writes a megabyte in sectors of its own to each, then reads it back.
    for (const BlockOperation operation : {BlockOperation::write, BlockOperation::read}) {
        for (std::size_t i = 0; i < streams.size(); ++i) {
            streams[i].sector = 0;
            streams[i].done = 0;
            streams[i].data = ours.memory(i * std::size_t{4096}, 4096);
        }
        while (std::ranges::any_of(streams, [](const Stream& stream) { return stream.done < 256; })) {
            TimePoint next = TimePoint::max();
            for (Stream& stream : streams) {
                BlockRequest* request = &stream.request;
                if (stream.done < 256 && request->owner == nullptr) {
                    *request = {};
                    request->operation = operation;
                    request->owner = &stream;
                    request->offset = stream.sector * 512;
                    request->length = 4096;
                    request->data = {&stream.data, 1};
                    for (std::uint64_t i = 0; i < 8 && operation == BlockOperation::write; ++i)
                        fill_block(stream.data.bytes().subspan(i * 512, 512), stream.sector + i,
                                   stream.version);
                    stream.queue->submit({&request, 1});
                }
                BlockRequest* finished = nullptr;
                if (stream.queue->reap({&finished, 1}) == 1) {
                    ASSERT_EQ(finished->status, BlockStatus::ok);
                    for (std::uint64_t i = 0; i < 8; ++i)
                        ASSERT_TRUE(block_is(stream.data.bytes().subspan(i * 512, 512), stream.sector + i,
                                             stream.version));
                    stream.sector += 8;
                    ++stream.done;
                    finished->owner = nullptr;
                    next = Clock::now();
                }
                next = std::min(next, stream.queue->next_reap(Clock::now()));
            }
            ours.loop.turn(next);
        }
    }
}

TEST(IdeSuite, ReachesBeyond128Gibibytes) {
    constexpr std::uint64_t end_of_28_bits = 128 * gibibyte - 512;
    const std::array<std::uint64_t, 5> places{end_of_28_bits - 512, end_of_28_bits - 4096, end_of_28_bits,
                                              150 * gibibyte, 200 * gibibyte - 8192};
    OurIde ours;
    ours.open("ide1");
    ASSERT_EQ(ours.disk("ide1").info().capacity, 200 * gibibyte);
    for (const std::uint64_t place : places) {
        const DmaSpan data = ours.memory(0, 8192);
        for (std::uint64_t i = 0; i < 16; ++i)
            fill_block(data.bytes().subspan(i * 512, 512), place / 512 + i, 9);
        ASSERT_EQ(ours.run(BlockOperation::write, place, data), BlockStatus::ok);
    }
    VerifyingLoad load(ours,
                       {.offset = 160 * gibibyte, .size = 16 * mebibyte, .largest = mebibyte, .depth = 8});
    load.run();
    load.check_all();
    // A wrapped address would have hit the beginning.
    const DmaSpan data = ours.memory(0, 8192);
    ASSERT_EQ(ours.run(BlockOperation::read, 0, data), BlockStatus::ok);
    EXPECT_TRUE(std::ranges::all_of(data.bytes(), [](std::byte byte) { return byte == std::byte{}; }));
}

TEST(IdeSuite, MovesTheSameDataWithoutDma) {
    OurIde ours(DriverOptions{.dma = false});
    ours.open("ide3");
    for (const unsigned depth : {1U, 32U}) {
        const std::size_t largest = ours.place->largest_pio();
        VerifyingLoad load(
            ours,
            {.offset = 8 * mebibyte, .size = 16 * largest, .largest = largest, .depth = depth, .least = 10});
        load.run();
        load.check_all();
        fmt::print("PIO, depth {}: {} reads and {} writes agree\n", depth, load.reads, load.writes);
    }
}

TEST(IdeSuite, SwitchesTheWriteCache) {
    {
        OurIde ours(DriverOptions{.write_cache = false});
        EXPECT_FALSE(ours.disk("ide0").info().volatile_write_cache);
        ours.open("ide0");
        EXPECT_EQ(ours.run(BlockOperation::write, 0, ours.memory(0, 512), true), BlockStatus::ok);
        EXPECT_EQ(ours.run(BlockOperation::flush, 0, {}), BlockStatus::ok);
    }
    OurIde ours(DriverOptions{.write_cache = true});
    EXPECT_TRUE(ours.disk("ide0").info().volatile_write_cache);
    ours.open("ide0");
    EXPECT_EQ(ours.run(BlockOperation::write, 0, ours.memory(0, 512), true), BlockStatus::ok);
    EXPECT_EQ(ours.run(BlockOperation::flush, 0, {}), BlockStatus::ok);
}

TEST(IdeSuite, DiscardsWhatItIsToldAndNothingElse) {
    OurIde ours;
    ours.open("ide0");
    ASSERT_GT(ours.disk("ide0").info().max_discard, 0U);
    constexpr std::uint64_t place = 200 * mebibyte;
    constexpr std::uint64_t quarter = mebibyte / 4;
    const DmaSpan data = ours.memory(0, mebibyte);
    std::memset(data.address, 0x5a, data.length);
    ASSERT_EQ(ours.run(BlockOperation::write, place, data), BlockStatus::ok);
    BlockRequest discard;
    discard.operation = BlockOperation::discard;
    discard.offset = place + quarter;
    discard.length = 2 * quarter;
    BlockRequest* const one = &discard;
    ours.run({&one, 1});
    EXPECT_EQ(discard.status, BlockStatus::ok);
    ASSERT_EQ(ours.run(BlockOperation::read, place, data), BlockStatus::ok);
    const auto all_are = [](std::span<const std::byte> bytes, std::byte value) {
        return std::ranges::all_of(bytes, [value](std::byte byte) { return byte == value; });
    };
    const std::span<const std::byte> bytes = data.bytes();
    EXPECT_TRUE(all_are(bytes.first(quarter), std::byte{0x5a}));
    EXPECT_TRUE(all_are(bytes.subspan(quarter, 2 * quarter), std::byte{0}));
    EXPECT_TRUE(all_are(bytes.subspan(3 * quarter), std::byte{0x5a}));
}

}  // namespace
}  // namespace outboard::test
