// The AHCI driver on disks that fail. The HBA and its disks: ahci_place.hpp.
#include <array>
#include <chrono>
#include <vector>

#include "tests/drivers/ahci/ahci_load.hpp"
#include <gmock/gmock.h>

namespace outboard::test {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;

TEST(AhciFaultSuite, ADiskErrorIsToldAndStaysWhereItIs) {
    OurAhci ours;
    ours.open("bad");
    const DmaSpan data = ours.memory(0, 4096);
    EXPECT_EQ(ours.run(BlockOperation::read, 2040 * 512UL, data), BlockStatus::ok);
    EXPECT_EQ(ours.run(BlockOperation::read, 2048 * 512UL, data), ours.place->bad_status());
    EXPECT_THAT(ours.told,
                Contains(HasSubstr("of 8 sectors at LBA 2048 failed: " + ours.place->bad_words())));
    EXPECT_EQ(ours.run(BlockOperation::read, 2056 * 512UL, data), BlockStatus::ok);
}

TEST(AhciFaultSuite, AFailingCommandTakesNoOtherAlong) {
    OurAhci ours;
    ours.open("bad");
    std::array<BlockRequest, 24> requests;
    std::array<DmaSpan, 24> data;
    std::vector<BlockRequest*> batch;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        data[i] = ours.memory(i * 4096, 4096);
        requests[i].offset = (2048 - 96 + 8 * i) * 512;
        requests[i].length = 4096;
        requests[i].data = {&data[i], 1};
        batch.push_back(&requests[i]);
    }
    ours.run(batch);
    for (std::size_t i = 0; i < requests.size(); ++i)
        EXPECT_EQ(requests[i].status, i == 12 ? ours.place->bad_status() : BlockStatus::ok) << i;
}

TEST(AhciFaultSuite, ADiskErrorIsFoundByPollingToo) {
    DriverOptions options;
    options.completion = CompletionMode::poll;
    OurAhci ours(std::move(options));
    ours.open("bad");
    EXPECT_EQ(ours.run(BlockOperation::read, 2048 * 512UL, ours.memory(0, 512)), ours.place->bad_status());
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 512)), BlockStatus::ok);
}

TEST(AhciFaultSuite, ADiskThatDoesNotAnswerIsResetAndItsRequestTimesOut) {
    OurAhci ours(DriverOptions{.command_timeout = 300ms, .write_cache = false});
    ours.open("slow");
    const TimePoint start = Clock::now();
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 4096)), BlockStatus::timed_out);
    EXPECT_LT(Clock::now() - start, 30s);
    EXPECT_THAT(ours.told, Contains(HasSubstr("of 8 sectors at LBA 0 was not finished after 300 ms")));
    EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset")));
    // The other port has not noticed.
    ours.open("bad");
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 4096)), BlockStatus::ok);
}

TEST(AhciFaultSuite, ASlowDiskWithinItsDeadlineIsWaitedFor) {
    OurAhci ours(DriverOptions{.command_timeout = 20s, .write_cache = false});
    ours.open("slow");
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 4096)), BlockStatus::ok);
}

}  // namespace
}  // namespace outboard::test
