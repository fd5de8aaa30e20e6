// What every driver of disks does on a disk that behaves. The device and its disks: disk_place.hpp.
#include "outboard/base/error.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/disk_load.hpp"
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::test {
namespace {

using ::testing::IsEmpty;

constexpr std::uint64_t mebibyte = 1U << 20;

bool all_are(std::span<const std::byte> bytes, std::byte value) {
    return std::ranges::all_of(bytes, [value](std::byte byte) { return byte == value; });
}

TEST(DiskSuite, VerifiesMixedSizes) {
    Ours ours;
    for (std::size_t index = 0; index < std::min<std::size_t>(ours.disks().size(), 2); ++index) {
        for (const unsigned depth : {1U, 32U, 128U}) {
            ours.open(index);
            VerifyingLoad load(ours, {.offset = 64 * mebibyte, .size = 32 * mebibyte, .depth = depth});
            load.run();
            ASSERT_FALSE(HasFailure());
            load.check_all();
            fmt::print("disk {}, depth {}: {} reads and {} writes agree\n", index, depth, load.reads,
                       load.writes);
        }
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(DiskSuite, MovesTheSameDataHoweverItLearnsOfEnds) {
    const std::shared_ptr<DiskPlace> place = make_disk_place();
    for (const CompletionMode mode : {CompletionMode::interrupt, CompletionMode::poll}) {
        DriverOptions options = place->options();
        options.completion = mode;
        Ours ours(place, std::move(options));
        ours.open();
        VerifyingLoad load(ours, {.offset = 8 * mebibyte, .size = 16 * mebibyte, .depth = 16});
        load.run();
        load.check_all();
        EXPECT_THAT(ours.told, IsEmpty());
    }
}

/// Where commands of different kinds have to take turns none of them waits for ever.
TEST(DiskSuite, MixesAllOperationsAtFullDepth) {
    Ours ours;
    ours.open();
    const bool discards = ours.info().max_discard > 0;
    constexpr std::size_t count = 300;
    std::vector<BlockRequest> requests(count);
    std::vector<DmaSpan> data(count);
    std::vector<BlockRequest*> pointers;
    for (std::size_t i = 0; i < count; ++i) {
        BlockRequest& request = requests[i];
        request.offset = 100 * mebibyte + i * 4096;
        request.length = 4096;
        data[i] = ours.memory(i * 4096, 4096);
        switch (i % 8) {
            case 0:
                request.operation = BlockOperation::flush;
                request.offset = request.length = 0;
                break;
            case 1:
                request.operation = discards ? BlockOperation::discard : BlockOperation::flush;
                if (!discards)
                    request.offset = request.length = 0;
                break;
            case 2:
            case 3:
                request.operation = BlockOperation::write;
                request.force_unit_access = i % 8 == 3;
                request.data = {&data[i], 1};
                fill_block(data[i].bytes(), i, 4);
                break;
            default:
                request.data = {&data[i], 1};
                break;
        }
        pointers.push_back(&request);
    }
    ours.run(pointers);
    for (const BlockRequest& request : requests)
        ASSERT_EQ(request.status, BlockStatus::ok);
    for (std::size_t i = 2; i < count; i += 8) {
        ASSERT_EQ(ours.run(BlockOperation::read, requests[i].offset, ours.memory(0, 4096)), BlockStatus::ok);
        ASSERT_TRUE(block_is(ours.memory(0, 4096).bytes(), i, 4));
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(DiskSuite, MovesAsManySegmentsAsItSays) {
    Ours ours;
    ours.open();
    const BlockInfo& info = ours.disk().info();
    const std::size_t piece = std::max(info.block_size, info.segment_boundary);
    const std::size_t count = std::min<std::size_t>(info.max_segments, info.max_transfer / piece);
    std::vector<DmaSpan> pieces;
    // In reverse, so that a mix-up is seen.
    for (std::size_t i = 0; i < count; ++i)
        pieces.push_back(ours.memory((count - 1 - i) * piece, piece));
    for (std::size_t i = 0; i < count; ++i)
        fill_block(pieces[i].bytes(), 1000 + i, 7);
    EXPECT_EQ(ours.run(BlockOperation::write, 40 * mebibyte, count * piece, pieces), BlockStatus::ok);
    const DmaSpan whole = ours.memory(8 * mebibyte, count * piece);
    EXPECT_EQ(ours.run(BlockOperation::read, 40 * mebibyte, whole), BlockStatus::ok);
    for (std::size_t i = 0; i < count; ++i)
        EXPECT_TRUE(block_is(whole.bytes().subspan(i * piece, piece), 1000 + i, 7)) << i;
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(DiskSuite, KeepsWhatWasWrittenWhenItIsClosed) {
    const std::shared_ptr<DiskPlace> place = make_disk_place();
    for (const bool write : {true, false}) {
        Ours ours(place);
        ours.open();
        const DmaSpan data = ours.memory(0, 4096);
        if (write) {
            fill_block(data.bytes(), 5, 3);
            EXPECT_EQ(ours.run(BlockOperation::write, 20 * mebibyte, data), BlockStatus::ok);
        } else {
            EXPECT_EQ(ours.run(BlockOperation::read, 20 * mebibyte, data), BlockStatus::ok);
            EXPECT_TRUE(block_is(data.bytes(), 5, 3));
        }
    }
}

TEST(DiskSuite, SwitchesTheWriteCache) {
    const std::shared_ptr<DiskPlace> place = make_disk_place();
    for (const bool on : {false, true}) {
        DriverOptions options = place->options();
        options.write_cache = on;
        Ours ours(place, std::move(options));
        EXPECT_TRUE(on || !ours.disk().info().volatile_write_cache);
        ours.open();
        EXPECT_EQ(ours.run(BlockOperation::write, 0, ours.memory(0, 4096), true), BlockStatus::ok);
        EXPECT_EQ(ours.run(BlockOperation::flush, 0, {}), BlockStatus::ok);
    }
}

TEST(DiskSuite, DiscardsAndZeroesWhatItIsToldAndNothingElse) {
    Ours ours;
    ours.open();
    const BlockInfo& info = ours.disk().info();
    const std::uint64_t place = 100 * mebibyte;
    const DmaSpan page = ours.memory(0, 4096);
    for (const BlockOperation operation : {BlockOperation::discard, BlockOperation::write_zeroes}) {
        const bool discard = operation == BlockOperation::discard;
        if ((discard ? info.max_discard : info.max_write_zeroes) == 0)
            continue;
        std::memset(page.address, 0x5a, page.length);
        for (std::uint64_t at = 0; at < 16; ++at)
            ASSERT_EQ(ours.run(BlockOperation::write, place + at * 4096, page), BlockStatus::ok);
        EXPECT_EQ(ours.run(operation, place + 4 * 4096, 8 * 4096, {}), BlockStatus::ok);
        for (std::uint64_t at = 0; at < 16; ++at) {
            ASSERT_EQ(ours.run(BlockOperation::read, place + at * 4096, page), BlockStatus::ok);
            const bool kept = at < 4 || at >= 12;
            // What was discarded may read as anything it was or zeros.
            EXPECT_TRUE((!kept && discard) || all_are(page.bytes(), kept ? std::byte{0x5a} : std::byte{0}))
                << at;
        }
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(DiskSuite, AnswersWhatCannotBeWithAStatus) {
    Ours ours;
    ours.open();
    const BlockInfo& info = ours.disk().info();
    const DmaSpan page = ours.memory(0, 4096);
    EXPECT_EQ(ours.run(BlockOperation::read, info.capacity, page), BlockStatus::out_of_range);
    EXPECT_EQ(ours.run(BlockOperation::read, info.capacity - 4096, page), BlockStatus::ok);
    EXPECT_EQ(ours.run(BlockOperation::read, ~std::uint64_t{0} - 4095, page), BlockStatus::out_of_range);
    EXPECT_EQ(ours.run(BlockOperation::read, 256, page), BlockStatus::out_of_range);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 256)), BlockStatus::out_of_range);
    if (info.segment_alignment > 1) {
        const DmaSpan crooked = ours.memory(info.segment_alignment / 2, 4096);
        EXPECT_EQ(ours.run(BlockOperation::read, 0, crooked), BlockStatus::not_supported);
    }
    if (info.max_discard == 0) {
        EXPECT_EQ(ours.run(BlockOperation::discard, 0, 4096, {}), BlockStatus::not_supported);
    }
    if (info.max_write_zeroes == 0) {
        EXPECT_EQ(ours.run(BlockOperation::write_zeroes, 0, 4096, {}), BlockStatus::not_supported);
    }
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, info.max_transfer + 4096ULL)),
              BlockStatus::not_supported);
    EXPECT_EQ(ours.run(BlockOperation::write, 0, 4096, {}), BlockStatus::not_supported);
    const std::vector<DmaSpan> pieces(info.max_segments + 130, ours.memory(0, info.block_size));
    EXPECT_NE(ours.run(BlockOperation::read, 0, pieces.size() * info.block_size, pieces), BlockStatus::ok);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, page), BlockStatus::ok);
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(DiskSuite, TakesAsManyRequestsAsItSays) {
    Ours ours;
    ours.open();
    const std::size_t depth = ours.disk().info().queue_depth;
    std::vector<BlockRequest> requests(depth + 1);
    std::vector<DmaSpan> data(requests.size());
    std::vector<BlockRequest*> pointers;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        data[i] = ours.memory(i * 4096, 4096);
        requests[i].length = 4096;
        requests[i].offset = i * 4096;
        requests[i].data = {&data[i], 1};
        pointers.push_back(&requests[i]);
    }
    ASSERT_EQ(ours.queue->submit(pointers), depth);
    EXPECT_EQ(ours.queue->submit(std::span(pointers).last(1)), 0U);
    std::vector<BlockRequest*> finished(depth);
    // One at a time: what is left in the ring is not forgotten.
    const TimePoint limit = Clock::now() + std::chrono::seconds(20);
    for (std::size_t left = depth; left > 0;) {
        const std::size_t count = ours.queue->reap(std::span(finished).first(1));
        left -= count;
        ASSERT_LT(Clock::now(), limit);
        if (count == 0)
            ours.loop.turn(std::min(ours.queue->next_reap(Clock::now()), limit));
    }
    EXPECT_EQ(ours.queue->next_reap(Clock::now()), TimePoint::max());
}

/// Writes and reads back on a queue of its own; gives how many were good.
unsigned use_queue(Ours& ours, unsigned number) {
    RunLoop loop;
    const std::unique_ptr<BlockQueue> queue = ours.disk().open_queue(loop);
    const DmaSpan data = ours.memory(number * std::size_t{4096}, 4096);
    BlockRequest request;
    BlockRequest* one = &request;
    request.data = {&data, 1};
    request.length = 4096;
    const TimePoint limit = Clock::now() + std::chrono::seconds(30);
    unsigned good = 0;
    for (unsigned round = 0; round < 200; ++round) {
        const bool write = round % 2 == 0;
        request.operation = write ? BlockOperation::write : BlockOperation::read;
        request.offset = (number * 1000 + round / 2) * std::uint64_t{4096};
        if (write)
            fill_block(data.bytes(), number, round + 1);
        else
            std::memset(data.address, 0, data.length);
        queue->submit({&one, 1});
        while (queue->reap({&one, 1}) == 0 && Clock::now() < limit)
            loop.turn(std::min(queue->next_reap(Clock::now()), limit));
        good +=
            request.status == BlockStatus::ok && block_is(data.bytes(), number, write ? round + 1 : round);
    }
    return good;
}

TEST(DiskSuite, ServesAQueueOnAThreadOfItsOwn) {
    const std::shared_ptr<DiskPlace> place = make_disk_place();
    DriverOptions options = place->options();
    options.queues = 3;
    Ours ours(place, std::move(options));
    const unsigned queues = ours.disk().info().max_queues;
    if (queues == 1)
        GTEST_SKIP() << "the disk has one queue";
    std::vector<unsigned> good(queues);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < queues; ++i)
        threads.emplace_back([&, i] { good[i] = use_queue(ours, i); });
    for (std::thread& thread : threads)
        thread.join();
    for (unsigned i = 0; i < queues; ++i)
        EXPECT_EQ(good[i], 200U) << "queue " << i;
    fmt::print("{} queues\n", queues);
}

TEST(DiskSuite, HasNoMoreQueuesThanItSays) {
    Ours ours;
    std::vector<std::unique_ptr<BlockQueue>> queues;
    for (unsigned i = 0; i < ours.disk().info().max_queues; ++i)
        queues.push_back(ours.disk().open_queue(ours.loop));
    EXPECT_THROW(static_cast<void>(ours.disk().open_queue(ours.loop)), Error);
    queues.pop_back();
    queues.push_back(ours.disk().open_queue(ours.loop));
}

}  // namespace
}  // namespace outboard::test
