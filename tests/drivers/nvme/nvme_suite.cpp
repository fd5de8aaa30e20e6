// The NVMe driver on a controller that behaves. The controller and its namespaces: nvme_place.hpp.
#include "outboard/base/error.hpp"

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/drivers/nvme/nvme_load.hpp"
#include <gmock/gmock.h>

namespace outboard::test {
namespace {

using ::testing::IsEmpty;

constexpr std::uint64_t mebibyte = 1U << 20;

bool all_are(std::span<const std::byte> bytes, std::byte value) {
    return std::ranges::all_of(bytes, [value](std::byte byte) { return byte == value; });
}

TEST(NvmeSuite, SaysWhatItsNamespacesAre) {
    OurNvme ours;
    ASSERT_FALSE(ours.disks().empty());
    for (BlockDevice* const disk : ours.disks()) {
        const BlockInfo& info = disk->info();
        EXPECT_FALSE(info.model.empty());
        EXPECT_FALSE(info.serial.empty());
        EXPECT_GE(info.capacity, 256 * mebibyte);
        EXPECT_TRUE(info.block_size == 512 || info.block_size == 4096);
        EXPECT_GE(info.max_transfer, 4096U);
        EXPECT_GE(info.queue_depth, 1);
        EXPECT_FALSE(info.rotational);
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(NvmeSuite, VerifiesMixedSizesOnEachNamespace) {
    OurNvme ours;
    for (std::size_t index = 0; index < std::min<std::size_t>(ours.disks().size(), 2); ++index) {
        for (const unsigned depth : {1U, 32U, 128U}) {
            ours.open(index);
            VerifyingLoad load(ours, {.offset = 64 * mebibyte, .size = 32 * mebibyte, .depth = depth});
            load.run();
            ASSERT_FALSE(HasFailure());
            load.check_all();
            fmt::print("namespace {}, depth {}: {} reads and {} writes agree\n", index, depth, load.reads,
                       load.writes);
        }
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(NvmeSuite, MovesTheSameDataHoweverItLearnsOfEnds) {
    for (const CompletionMode mode : {CompletionMode::interrupt, CompletionMode::poll}) {
        DriverOptions options;
        options.completion = mode;
        OurNvme ours(std::move(options));
        ours.open();
        VerifyingLoad load(ours, {.offset = 8 * mebibyte, .size = 16 * mebibyte, .depth = 16});
        load.run();
        load.check_all();
        EXPECT_THAT(ours.told, IsEmpty());
    }
}

TEST(NvmeSuite, KeepsWhatWasWrittenWhenItIsClosed) {
    const std::shared_ptr<DiskPlace> place = make_nvme_place();
    for (const bool write : {true, false}) {
        OurNvme ours(place);
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

TEST(NvmeSuite, SwitchesTheWriteCache) {
    const std::shared_ptr<DiskPlace> place = make_nvme_place();
    for (const bool on : {false, true}) {
        DriverOptions options = place->options();
        options.write_cache = on;
        OurNvme ours(place, std::move(options));
        EXPECT_TRUE(on || !ours.disk().info().volatile_write_cache);
        ours.open();
        EXPECT_EQ(ours.run(BlockOperation::write, 0, ours.memory(0, 4096), true), BlockStatus::ok);
        EXPECT_EQ(ours.run(BlockOperation::flush, 0, {}), BlockStatus::ok);
    }
}

TEST(NvmeSuite, DiscardsAndZeroesWhatItIsToldAndNothingElse) {
    OurNvme ours;
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

TEST(NvmeSuite, AnswersWhatCannotBeWithAStatus) {
    OurNvme ours;
    ours.open();
    const BlockInfo& info = ours.disk().info();
    const DmaSpan page = ours.memory(0, 4096);
    EXPECT_EQ(ours.run(BlockOperation::read, info.capacity, page), BlockStatus::out_of_range);
    EXPECT_EQ(ours.run(BlockOperation::read, info.capacity - 4096, page), BlockStatus::ok);
    EXPECT_EQ(ours.run(BlockOperation::read, ~std::uint64_t{0} - 4095, page), BlockStatus::out_of_range);
    EXPECT_EQ(ours.run(BlockOperation::read, 256, page), BlockStatus::out_of_range);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 256)), BlockStatus::out_of_range);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(2, 4096)), BlockStatus::not_supported);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, info.max_transfer + 4096ULL)),
              BlockStatus::not_supported);
    EXPECT_EQ(ours.run(BlockOperation::write, 0, 4096, {}), BlockStatus::not_supported);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, page), BlockStatus::ok);
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST(NvmeSuite, TakesAsManyRequestsAsItSays) {
    OurNvme ours;
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

TEST(NvmeSuite, ServesAQueueOnAThreadOfItsOwn) {
    const std::shared_ptr<DiskPlace> place = make_nvme_place();
    DriverOptions options = place->options();
    options.queues = 3;
    OurNvme ours(place, std::move(options));
    const unsigned queues = ours.disk().info().max_queues;
    std::vector<unsigned> good(queues);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < queues && queues > 1; ++i) {
        threads.emplace_back([&, i] {
            RunLoop loop;
            const std::unique_ptr<BlockQueue> queue = ours.disk().open_queue(loop);
            const DmaSpan data = ours.memory(i * std::size_t{4096}, 4096);
            BlockRequest request;
            BlockRequest* one = &request;
            request.data = {&data, 1};
            request.length = 4096;
            const TimePoint limit = Clock::now() + std::chrono::seconds(30);
            for (unsigned round = 0; round < 200; ++round) {
                const bool write = round % 2 == 0;
                request.operation = write ? BlockOperation::write : BlockOperation::read;
                request.offset = (i * 1000 + round / 2) * std::uint64_t{4096};
                if (write)
                    fill_block(data.bytes(), i, round + 1);
                else
                    std::memset(data.address, 0, data.length);
                queue->submit({&one, 1});
                while (queue->reap({&one, 1}) == 0 && Clock::now() < limit)
                    loop.turn(std::min(queue->next_reap(Clock::now()), limit));
                good[i] +=
                    request.status == BlockStatus::ok && block_is(data.bytes(), i, write ? round + 1 : round);
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    for (unsigned i = 0; i < queues && queues > 1; ++i)
        EXPECT_EQ(good[i], 200U) << "queue " << i;
    fmt::print("{} queues\n", queues);
}

TEST(NvmeSuite, HasNoMoreQueuesThanItSays) {
    OurNvme ours;
    std::vector<std::unique_ptr<BlockQueue>> queues;
    for (unsigned i = 0; i < ours.disk().info().max_queues; ++i)
        queues.push_back(ours.disk().open_queue(ours.loop));
    EXPECT_THROW(static_cast<void>(ours.disk().open_queue(ours.loop)), Error);
    queues.pop_back();
    queues.push_back(ours.disk().open_queue(ours.loop));
}

}  // namespace
}  // namespace outboard::test
