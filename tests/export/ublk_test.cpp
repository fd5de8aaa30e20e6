// The parts of the ublk export that need no kernel with ublk.
#include "outboard/base/error.hpp"
#include "outboard/export/ublk/linger.hpp"
#include "outboard/export/ublk/parameters.hpp"
#include "outboard/export/ublk/request_table.hpp"
#include "outboard/export/ublk/served_disk.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "tests/support/memory_disk.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::ublk {
namespace {

using test::MemoryDisk;
using test::MemoryQueue;

constexpr std::size_t buffer_bytes = std::size_t{64} * 1024;

TEST(ServedDisk, SurvivesTheKernelsBits) {
    const ServedDisk disk{.domain = 0x10001,
                          .bus = 0xa5,
                          .device = 31,
                          .function = 7,
                          .disk = 15,
                          .identity = 0x7ff,
                          .hand_back = true};
    EXPECT_EQ(decode_served_disk(encode(disk)), disk);
    EXPECT_EQ(disk.device_name(), "10001:a5:1f.7");
    const ServedDisk plain{.bus = 0, .device = 4};
    EXPECT_EQ(decode_served_disk(encode(plain)), plain);
    EXPECT_EQ(plain.device_name(), "0000:00:04.0");
}

TEST(ServedDisk, AVfioUserDeviceIsMarkedByItsSocket) {
    const ServedDisk disk{.socket = socket_mark("/run/disk.sock"), .disk = 15, .identity = 0x7ff};
    EXPECT_EQ(decode_served_disk(encode(disk)), disk);
    EXPECT_EQ(disk.device_name(), "vfio-user:PATH");
    EXPECT_LE(disk.socket, 0xf'ffff'ffffU);
    EXPECT_NE(socket_mark(""), 0U);
    EXPECT_NE(socket_mark("/run/disk.sock"), socket_mark("/run/dish.sock"));
    ServedDisk other = disk;
    other.disk = 0;
    EXPECT_TRUE(disk.same_device(other));
    EXPECT_FALSE(disk.same_place(other));
    other.socket = socket_mark("/run/other.sock");
    EXPECT_FALSE(disk.same_device(other));
    EXPECT_FALSE(disk.same_device(ServedDisk{}));
    EXPECT_FALSE(decode_served_disk(0xb0eULL << 52)) << "no socket has the mark 0";
}

TEST(ServedDisk, IsNotSeenInOtherProgramsBits) {
    EXPECT_FALSE(decode_served_disk(0));
    EXPECT_FALSE(decode_served_disk(~0ULL));
    EXPECT_FALSE(decode_served_disk(encode({}) ^ 1ULL << 52));
    EXPECT_FALSE(decode_served_disk(encode({}) ^ 1ULL << 63));
}

TEST(ServedDisk, ThePlaceIsTheSameWhateverHappensAtTheEnd) {
    const ServedDisk disk{.device = 4, .disk = 1};
    ServedDisk other = disk;
    other.hand_back = true;
    EXPECT_TRUE(disk.same_place(other));
    other.disk = 0;
    EXPECT_FALSE(disk.same_place(other));
}

TEST(ServedDisk, DisksAreToldApartByModelAndSerialNumber) {
    const std::uint16_t one = identity_of("QEMU HARDDISK", "QM00001");
    EXPECT_EQ(one, identity_of("QEMU HARDDISK", "QM00001"));
    EXPECT_NE(one, identity_of("QEMU HARDDISK", "QM00002"));
    EXPECT_NE(one, identity_of("QEMU HARDDISKQ", "M00001"));
    const ServedDisk disk{.device = 4, .identity = one};
    EXPECT_EQ(decode_served_disk(encode(disk))->identity, one);
}

BlockInfo some_disk() {
    BlockInfo info;
    info.model = "DISK";
    info.capacity = 10'000UL * 512;
    info.physical_block_size = 4096;
    info.max_transfer = 100'000;
    return info;
}

TEST(Parameters, SayWhatTheDiskSays) {
    BlockInfo info = some_disk();
    info.rotational = true;
    EXPECT_EQ(request_buffer_bytes(info), 24U * 4096);
    const Parameters parameters = make_parameters(info, 98304);
    EXPECT_EQ(parameters.length, 152U);
    EXPECT_EQ(parameters.types, parameter::basic);
    EXPECT_EQ(parameters.basic.attributes, attribute::rotational);
    EXPECT_EQ(parameters.basic.logical_block_shift, 9);
    EXPECT_EQ(parameters.basic.physical_block_shift, 12);
    EXPECT_EQ(parameters.basic.io_min_shift, 12);
    EXPECT_EQ(parameters.basic.max_sectors, 192U);
    EXPECT_EQ(parameters.basic.device_sectors, 10'000U);
}

TEST(Parameters, OfferFuaOnlyWithACacheAndADiskThatHasIt) {
    BlockInfo info = some_disk();
    info.rotational = false;
    info.force_unit_access = true;
    EXPECT_EQ(make_parameters(info, 4096).basic.attributes, 0U);
    info.volatile_write_cache = true;
    EXPECT_EQ(make_parameters(info, 4096).basic.attributes,
              attribute::volatile_cache | attribute::force_unit_access);
    info.force_unit_access = false;
    EXPECT_EQ(make_parameters(info, 4096).basic.attributes, attribute::volatile_cache);
}

TEST(Parameters, SayThatADiskIsReadOnly) {
    BlockInfo info = some_disk();
    info.rotational = false;
    info.read_only = true;
    EXPECT_EQ(make_parameters(info, 4096).basic.attributes, attribute::read_only);
}

TEST(Parameters, OfferDiscardAndZeroesWhereTheDiskHasThem) {
    BlockInfo info = some_disk();
    info.max_write_zeroes = 1 << 20;
    const Parameters parameters = make_parameters(info, 4096);
    EXPECT_EQ(parameters.types, parameter::basic | parameter::discard);
    EXPECT_EQ(parameters.discard.max_discard_sectors, 0U);
    EXPECT_EQ(parameters.discard.max_write_zeroes_sectors, 2048U);
    EXPECT_EQ(parameters.discard.granularity, 4096U);
    EXPECT_EQ(parameters.discard.max_segments, 1U);
}

TEST(Parameters, RefuseADiskBelowOnePage) {
    BlockInfo info = some_disk();
    info.max_transfer = 2048;
    EXPECT_THROW(request_buffer_bytes(info), Error);
}

TEST(Parameters, NoticeADiskThatDoesNotFitTheDeviceLeftBehind) {
    const BlockInfo info = some_disk();
    const Parameters old = make_parameters(info, 65536);
    EXPECT_EQ(mismatch(old, info, 65536), "");
    BlockInfo smaller = info;
    smaller.capacity -= 512;
    EXPECT_EQ(mismatch(old, smaller, 65536), "its size was 10000 sectors and is 9999 now");
    BlockInfo coarser = info;
    coarser.block_size = 4096;
    EXPECT_EQ(mismatch(old, coarser, 65536), "its block size was 512 and is 4096 now");
    EXPECT_EQ(mismatch(old, info, 32768), "it took requests of 128 sectors and takes 64 now");
}

// ---- requests ----

class Requests : public testing::Test {
  protected:
    static constexpr unsigned depth = 8;

    void ask(std::uint16_t tag, std::uint32_t operation, std::uint64_t sector, std::uint32_t sectors) {
        descriptors_[tag] = {
            .operation_and_flags = operation, .sectors = sectors, .start_sector = sector, .address = 0};
    }
    std::vector<DmaSpan> buffers() const {
        std::vector<DmaSpan> spans;
        for (unsigned tag = 0; tag < depth; ++tag)
            spans.push_back(pool_[tag]);
        return spans;
    }
    /// Tag and result of everything that one call finished.
    std::vector<std::pair<int, int>> advance(RequestTable& table) {
        std::vector<std::pair<int, int>> results;
        for (const FinishedRequest& finished : table.advance(queue_))
            results.emplace_back(finished.tag, finished.result);
        return results;
    }

    std::array<IoDescriptor, depth> descriptors_{};
    MemoryDisk disk_;
    DmaPool pool_{disk_.arena(), buffer_bytes, depth, 4096};
    MemoryQueue queue_{disk_};
};

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST_F(Requests, ReadAndWriteInTheTagsOwnBuffer) {
    RequestTable table(descriptors_, buffers(), false);
    std::memset(pool_[3].address, 0x5a, 4096);
    ask(3, operation::write, 16, 8);
    table.fetched(3);
    EXPECT_EQ(table.outstanding(), 1U);
    EXPECT_THAT(advance(table), ElementsAre(Pair(3, 4096)));
    EXPECT_EQ(disk_.content[16UL * 512], std::byte{0x5a});
    EXPECT_EQ(disk_.content[24UL * 512], std::byte{0});

    ask(5, operation::read, 15, 2);
    table.fetched(5);
    EXPECT_THAT(advance(table), ElementsAre(Pair(5, 1024)));
    EXPECT_EQ(pool_[5].address[511], std::byte{0});
    EXPECT_EQ(pool_[5].address[512], std::byte{0x5a});
    EXPECT_EQ(table.outstanding(), 0U);
    EXPECT_THAT(advance(table), IsEmpty());
}

TEST_F(Requests, WaitWhenTheDiskTakesFewerAndKeepTheirOrder) {
    RequestTable table(descriptors_, buffers(), false);
    disk_.information.queue_depth = 2;
    disk_.finish_at_once = 1;
    for (std::uint16_t tag = 0; tag < 5; ++tag) {
        ask(tag, operation::read, tag, 1);
        table.fetched(tag);
    }
    for (int tag = 0; tag < 5; ++tag) {
        EXPECT_EQ(table.outstanding(), 5U - static_cast<unsigned>(tag));
        EXPECT_THAT(advance(table), ElementsAre(Pair(tag, 512)));
    }
    EXPECT_EQ(table.outstanding(), 0U);
}

TEST_F(Requests, GiveTheDiskItsNextRequestBeforeResultsAreHandedIn) {
    RequestTable table(descriptors_, buffers(), false);
    disk_.information.queue_depth = 1;
    for (std::uint16_t tag = 0; tag < 2; ++tag) {
        ask(tag, operation::read, tag, 1);
        table.fetched(tag);
    }
    EXPECT_THAT(advance(table), ElementsAre(Pair(0, 512)));
    // The second one is with the disk already: it finishes although nothing more is submitted.
    std::array<BlockRequest*, 1> finished{};
    EXPECT_EQ(queue_.reap(finished), 1U);
}

TEST_F(Requests, HandInLargeReadsInPartsSoThatTheDiskIsLookedAfter) {
    RequestTable table(descriptors_, buffers(), false);
    disk_.information.queue_depth = depth;
    for (std::uint16_t tag = 0; tag < depth; ++tag) {
        ask(tag, operation::read, 0, buffer_bytes / 512);
        table.fetched(tag);
    }
    static_assert(RequestTable::copied_at_once == 4 * buffer_bytes);
    EXPECT_THAT(advance(table), testing::SizeIs(4));
    EXPECT_TRUE(table.has_more());
    EXPECT_EQ(table.outstanding(), 4U);
    EXPECT_THAT(advance(table), testing::SizeIs(4));
    EXPECT_FALSE(table.has_more());
    EXPECT_EQ(table.outstanding(), 0U);
}

TEST_F(Requests, HandInWritesTogetherTheirDataIsCopiedAlready) {
    RequestTable table(descriptors_, buffers(), false);
    disk_.information.queue_depth = depth;
    for (std::uint16_t tag = 0; tag < depth; ++tag) {
        ask(tag, operation::write, 0, buffer_bytes / 512);
        table.fetched(tag);
    }
    EXPECT_THAT(advance(table), testing::SizeIs(depth));
}

TEST_F(Requests, FlushMakesWhatWasWrittenStable) {
    RequestTable table(descriptors_, buffers(), false);
    std::memset(pool_[0].address, 0x11, 512);
    ask(0, operation::write, 0, 1);
    table.fetched(0);
    EXPECT_THAT(advance(table), ElementsAre(Pair(0, 512)));
    EXPECT_EQ(disk_.stable[0], std::byte{0});
    ask(1, operation::flush, 0, 0);
    table.fetched(1);
    EXPECT_THAT(advance(table), ElementsAre(Pair(1, 0)));
    EXPECT_EQ(disk_.stable[0], std::byte{0x11});
}

TEST_F(Requests, ForcedWritesAreStableWhenTheyFinish) {
    RequestTable table(descriptors_, buffers(), false);
    std::memset(pool_[0].address, 0x22, 512);
    ask(0, operation::write | operation::flag_force_unit_access, 7, 1);
    table.fetched(0);
    EXPECT_THAT(advance(table), ElementsAre(Pair(0, 512)));
    EXPECT_EQ(disk_.stable[7UL * 512], std::byte{0x22});
}

TEST_F(Requests, AllWritesAreStableForADeviceAnnouncedWithoutCache) {
    RequestTable table(descriptors_, buffers(), true);
    std::memset(pool_[0].address, 0x33, 512);
    ask(0, operation::write, 7, 1);
    table.fetched(0);
    EXPECT_THAT(advance(table), ElementsAre(Pair(0, 512)));
    EXPECT_EQ(disk_.stable[7UL * 512], std::byte{0x33});
}

TEST_F(Requests, FailWithTheKernelsOwnErrors) {
    RequestTable table(descriptors_, buffers(), false);
    disk_.fails_at = 512;
    ask(0, operation::read, 0, 8);
    ask(1, operation::discard, 0, 8);
    ask(2, operation::read, (1 << 20) / 512, 1);
    for (std::uint16_t tag = 0; tag < 3; ++tag)
        table.fetched(tag);
    EXPECT_THAT(advance(table), ElementsAre(Pair(0, -ENODATA), Pair(1, -EOPNOTSUPP), Pair(2, -EIO)));
}

TEST_F(Requests, NeverLeaveTheirBuffer) {
    RequestTable table(descriptors_, buffers(), false);
    ask(0, operation::read, 0, buffer_bytes / 512 + 1);
    ask(1, operation::read, 0, 0xffffffff);
    ask(2, 99, 0, 1);
    for (std::uint16_t tag = 0; tag < 3; ++tag)
        table.fetched(tag);
    EXPECT_EQ(table.outstanding(), 3U);
    EXPECT_THAT(advance(table),
                ElementsAre(Pair(0, -EOPNOTSUPP), Pair(1, -EOPNOTSUPP), Pair(2, -EOPNOTSUPP)));
    EXPECT_THAT(advance(table), IsEmpty());
    EXPECT_THAT(disk_.seen, IsEmpty());
}

// ---- staying awake ----

using namespace std::chrono_literals;

/// A pause of this length; whether it was waited for awake to its end.
bool awake_through(Linger& linger, TimePoint& now, Duration pause) {
    linger.pause_begins(now);
    now += pause;
    const bool awake = now < linger.until();
    linger.pause_ends(now);
    now += 100us;
    return awake;
}

TEST(Linger, IsLearntFromShortPauses) {
    Linger linger(true);
    TimePoint now = Clock::now();
    EXPECT_FALSE(awake_through(linger, now, 50us));
    for (int i = 0; i < 50; ++i)
        awake_through(linger, now, 50us);
    EXPECT_TRUE(awake_through(linger, now, 50us));
}

TEST(Linger, EndsSoonWhenNobodyComes) {
    Linger linger(true);
    TimePoint now = Clock::now();
    for (int i = 0; i < 50; ++i)
        awake_through(linger, now, 50us);
    linger.pause_begins(now);
    EXPECT_GT(linger.until(), now + 50us);
    EXPECT_LE(linger.until(), now + 200us);
}

TEST(Linger, IsForgottenAfterLongPauses) {
    Linger linger(true);
    TimePoint now = Clock::now();
    for (int i = 0; i < 50; ++i)
        awake_through(linger, now, 50us);
    awake_through(linger, now, 10s);
    awake_through(linger, now, 10s);
    linger.pause_begins(now);
    EXPECT_EQ(linger.until(), now);
}

TEST(Linger, NeverOnTheOnlyProcessor) {
    Linger linger(false);
    TimePoint now = Clock::now();
    for (int i = 0; i < 50; ++i)
        EXPECT_FALSE(awake_through(linger, now, 10us));
    linger.pause_begins(now);
    EXPECT_EQ(linger.until(), now);
}

TEST(ResultOf, CoversEveryStatus) {
    BlockRequest request;
    request.operation = BlockOperation::flush;
    const std::array expected{std::pair(BlockStatus::pending, -EIO),
                              std::pair(BlockStatus::ok, 0),
                              std::pair(BlockStatus::media_error, -ENODATA),
                              std::pair(BlockStatus::device_error, -EIO),
                              std::pair(BlockStatus::timed_out, -ETIMEDOUT),
                              std::pair(BlockStatus::out_of_range, -EIO),
                              std::pair(BlockStatus::not_supported, -EOPNOTSUPP),
                              std::pair(BlockStatus::removed, -ENODEV),
                              std::pair(BlockStatus::aborted, -EIO)};
    for (const auto& [status, result] : expected) {
        request.status = status;
        EXPECT_EQ(result_of(request), result);
    }
}

}  // namespace
}  // namespace outboard::ublk
