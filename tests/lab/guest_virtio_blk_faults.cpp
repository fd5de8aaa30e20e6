// The virtio-blk driver on disks that fail, in the lab: of the first one QEMU's blkdebug lets reads of sector
// 2048 fail, the second one is a null device with latency.
#include <chrono>
#include <memory>
#include <utility>

#include "guest_virtio_blk.hpp"
#include "tests/support/disk_load.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard {
namespace guest {
namespace {

using namespace std::chrono_literals;
using test::Ours;
using ::testing::Contains;
using ::testing::HasSubstr;

TEST(GuestVirtioBlkFaults, ADiskErrorIsToldAndStaysWhereItIs) {
    Ours ours;
    ours.open();
    const DmaSpan data = ours.memory(0, 4096);
    EXPECT_EQ(ours.run(BlockOperation::read, 2040 * 512UL, data), BlockStatus::ok);
    EXPECT_EQ(ours.run(BlockOperation::read, 2048 * 512UL, data), BlockStatus::media_error);
    EXPECT_THAT(ours.told, Contains(HasSubstr("read of 8 sectors at sector 2048 failed: an I/O error")));
    EXPECT_EQ(ours.run(BlockOperation::read, 2056 * 512UL, data), BlockStatus::ok);
}

TEST(GuestVirtioBlkFaults, ADeviceThatDoesNotAnswerIsResetAndItsRequestTimesOut) {
    const auto place = std::make_shared<LabVirtioBlk>(PciAddress::parse("0000:00:15.0"));
    DriverOptions options;
    options.command_timeout = 300ms;
    Ours ours(place, std::move(options));
    ours.open();
    const TimePoint start = Clock::now();
    EXPECT_EQ(ours.run(BlockOperation::read, 0, ours.memory(0, 4096)), BlockStatus::timed_out);
    EXPECT_LT(Clock::now() - start, 30s);
    EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset")));
}

}  // namespace
}  // namespace guest

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return std::make_unique<guest::LabVirtioBlk>(PciAddress::parse("0000:01:00.0"));
}

}  // namespace outboard
