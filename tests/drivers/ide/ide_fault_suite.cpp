// The IDE driver on disks that fail. The controller and its disks: ide_place.hpp.
#include <array>
#include <chrono>
#include <vector>

#include "tests/drivers/ide/ide_load.hpp"
#include <gmock/gmock.h>

namespace outboard::test {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;

TEST(IdeFaultSuite, ADiskErrorIsToldAndStaysWhereItIs) {
    OurIde ours;
    ours.open("bad");
    const DmaSpan data = ours.memory(0, 4096);
    EXPECT_EQ(ours.run(BlockOperation::read, 2040 * 512UL, data), BlockStatus::ok);
    EXPECT_EQ(ours.run(BlockOperation::read, 2048 * 512UL, data), ours.place->bad_status());
    EXPECT_THAT(ours.told,
                Contains(HasSubstr("master of " + ours.name() +
                                   ", primary channel: READ DMA of 8 sectors at LBA 2048 failed: " +
                                   ours.place->bad_words())));
    EXPECT_EQ(ours.run(BlockOperation::read, 2056 * 512UL, data), BlockStatus::ok);
}

TEST(IdeFaultSuite, EachOfMergedRequestsGetsItsOwnAnswer) {
    OurIde ours;
    ours.open("bad");
    std::array<BlockRequest, 9> requests;
    std::array<DmaSpan, 9> data;
    std::vector<BlockRequest*> batch;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        data[i] = ours.memory(i * 4096, 4096);
        requests[i].offset = i == 0 ? 0 : (2048 - 32 + 8 * i) * 512;
        requests[i].length = 4096;
        requests[i].data = {&data[i], 1};
        batch.push_back(&requests[i]);
    }
    ours.run(batch);
    for (std::size_t i = 0; i < requests.size(); ++i)
        EXPECT_EQ(requests[i].status, i == 4 ? ours.place->bad_status() : BlockStatus::ok) << i;
}

TEST(IdeFaultSuite, APioErrorIsToldToo) {
    OurIde ours(DriverOptions{.dma = false});
    ours.open("bad");
    EXPECT_EQ(ours.run(BlockOperation::read, 2048 * 512UL, ours.memory(0, 512)), ours.place->bad_status());
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 512)), BlockStatus::ok);
}

TEST(IdeFaultSuite, ADeviceThatDoesNotAnswerIsResetAndItsRequestTimesOut) {
    OurIde ours(DriverOptions{.command_timeout = 300ms, .write_cache = false});
    ours.open("slow");
    const TimePoint start = Clock::now();
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 4096)), BlockStatus::timed_out);
    EXPECT_LT(Clock::now() - start, 30s);
    EXPECT_THAT(ours.told,
                Contains(HasSubstr("READ DMA of 8 sectors at LBA 0 was not finished after 300 ms")));
    EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset")));
    // The other channel has not noticed, and neither has the driver: the next request is served as this one
    // was.
    ours.open("bad");
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 4096)), BlockStatus::ok);
}

TEST(IdeFaultSuite, ASlowDeviceWithinItsDeadlineIsWaitedFor) {
    OurIde ours(DriverOptions{.command_timeout = 20s, .write_cache = false});
    ours.open("slow");
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 4096)), BlockStatus::ok);
}

}  // namespace
}  // namespace outboard::test
