// The AHCI driver on disks that behave. The HBA and its disks: ahci_place.hpp; what all drivers of disks do:
// disk_suite.cpp.
#include "outboard/base/error.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "tests/drivers/ahci/ahci_load.hpp"
#include <gmock/gmock.h>

namespace outboard::test {
namespace {

using ::testing::IsEmpty;

constexpr std::uint64_t mebibyte = 1U << 20;
constexpr std::uint64_t gibibyte = 1U << 30;
constexpr std::array<std::string_view, 3> serials{"ahci0", "ahci1", "ahci2"};

bool all_are(std::span<const std::byte> bytes, std::byte value) {
    return std::ranges::all_of(bytes, [value](std::byte byte) { return byte == value; });
}

TEST(AhciSuite, FindsTheDisksAtTheirPorts) {
    OurAhci ours;
    ASSERT_EQ(ours.disks().size(), serials.size());
    for (std::size_t place = 0; place < serials.size(); ++place) {
        const BlockInfo& info = ours.disk(place).info();
        EXPECT_EQ(info.serial, serials[place]);
        EXPECT_FALSE(info.model.empty());
        EXPECT_GE(info.capacity, gibibyte);
        EXPECT_GE(info.queue_depth, 1);
        EXPECT_GE(info.max_transfer, 65536U);
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(AhciSuite, DisksWorkAtTheSameTime) {
    OurAhci ours;
    struct Stream {
        std::unique_ptr<BlockQueue> queue;
        std::uint32_t version = 0;
        BlockRequest request{};
        DmaSpan data{};
        std::uint64_t block = 0;
        unsigned done = 0;
    };
    std::array<Stream, 2> streams;
    for (std::size_t i = 0; i < streams.size(); ++i) {
        streams[i].queue = ours.disk(serials[i]).open_queue(ours.loop);
        streams[i].version = static_cast<std::uint32_t>(5 + i);
        streams[i].data = ours.memory(i * 4096, 4096);
    }
    for (const BlockOperation operation : {BlockOperation::write, BlockOperation::read}) {
        for (Stream& stream : streams)
            stream.block = stream.done = 0;
        while (std::ranges::any_of(streams, [](const Stream& stream) { return stream.done < 200; })) {
            TimePoint next = TimePoint::max();
            for (Stream& stream : streams) {
                BlockRequest* request = &stream.request;
                if (stream.done < 200 && request->owner == nullptr) {
                    *request = {};
                    request->operation = operation;
                    request->owner = &stream;
                    request->offset = 32 * mebibyte + stream.block * 4096;
                    request->length = 4096;
                    request->data = {&stream.data, 1};
                    if (operation == BlockOperation::write)
                        fill_block(stream.data.bytes(), stream.block, stream.version);
                    stream.queue->submit({&request, 1});
                }
                BlockRequest* finished = nullptr;
                if (stream.queue->reap({&finished, 1}) == 1) {
                    ASSERT_EQ(finished->status, BlockStatus::ok);
                    ASSERT_TRUE(block_is(stream.data.bytes(), stream.block, stream.version));
                    ++stream.block;
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

TEST(AhciSuite, ReachesBeyond128Gibibytes) {
    constexpr std::uint64_t end_of_28_bits = 128 * gibibyte - 512;
    const std::array<std::uint64_t, 5> places{end_of_28_bits - 512, end_of_28_bits - 4096, end_of_28_bits,
                                              150 * gibibyte, 200 * gibibyte - 8192};
    OurAhci ours;
    ours.open("ahci1");
    ASSERT_EQ(ours.info().capacity, 200 * gibibyte);
    const std::uint64_t block = ours.info().block_size;
    for (std::uint64_t place : places) {
        place -= place % block;
        const DmaSpan data = ours.memory(0, 8192);
        for (std::uint64_t i = 0; i < 16; ++i)
            fill_block(data.bytes().subspan(i * 512, 512), place / 512 + i, 9);
        ASSERT_EQ(ours.run(BlockOperation::write, place, data), BlockStatus::ok);
    }
    VerifyingLoad load(ours, {.offset = 160 * gibibyte, .size = 16 * mebibyte, .depth = 8});
    load.run();
    load.check_all();
    // A wrapped address would have hit the beginning.
    const DmaSpan data = ours.memory(0, 8192);
    ASSERT_EQ(ours.run(BlockOperation::read, 0, data), BlockStatus::ok);
    EXPECT_TRUE(all_are(data.bytes(), std::byte{}));
}

TEST(AhciSuite, DiscardsWhatItIsToldAndNothingElse) {
    OurAhci ours;
    ours.open("ahci0");
    if (ours.info().max_discard == 0)
        GTEST_SKIP() << "the disk has no TRIM";
    constexpr std::uint64_t place = 200 * mebibyte;
    constexpr std::uint64_t quarter = mebibyte / 4;
    const DmaSpan data = ours.memory(0, mebibyte);
    std::memset(data.address, 0x5a, data.length);
    ASSERT_EQ(ours.run(BlockOperation::write, place, data), BlockStatus::ok);
    EXPECT_EQ(ours.run(BlockOperation::discard, place + quarter, 2 * quarter, {}), BlockStatus::ok);
    ASSERT_EQ(ours.run(BlockOperation::read, place, data), BlockStatus::ok);
    const std::span<const std::byte> bytes = data.bytes();
    EXPECT_TRUE(all_are(bytes.first(quarter), std::byte{0x5a}));
    EXPECT_TRUE(all_are(bytes.subspan(quarter, 2 * quarter), std::byte{0}));
    EXPECT_TRUE(all_are(bytes.subspan(3 * quarter), std::byte{0x5a}));
}

TEST(AhciSuite, HasOneQueueADiskOnItsOwnLoop) {
    OurAhci ours;
    ours.open("ahci0");
    EXPECT_THROW(static_cast<void>(ours.disk("ahci0").open_queue(ours.loop)), Error);
    RunLoop other;
    EXPECT_THROW(static_cast<void>(ours.disk("ahci1").open_queue(other)), Error);
    ours.open("ahci0");
}

}  // namespace
}  // namespace outboard::test
