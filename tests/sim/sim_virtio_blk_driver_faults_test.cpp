// The virtio-blk driver on a simulated disk that goes wrong, a fault at a time.
#include "outboard/backend/vfio_user/vfio_user_backend.hpp"
#include "outboard/base/error.hpp"
#include "outboard/drivers/virtio_blk/virtio_blk.hpp"
#include "outboard/sim/models/virtio_blk/disk.hpp"
#include "outboard/sim/server.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "tests/sim/socket_directory.hpp"
#include "tests/support/disk_load.hpp"
#include "tests/support/limited_backend.hpp"
#include <gmock/gmock.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using sim::FaultKind;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class FaultyDisk final : public test::DiskPlace {
  public:
    const DriverDescription& driver() const override { return virtio_blk::description; }
    explicit FaultyDisk(const sim::virtio_blk::Options& options) : model_(options) {}
    std::unique_ptr<Device> open() override {
        const std::string path = server_.server().path().string();
        if (!line_only)
            return Device::open("vfio-user:" + path);
        auto backend = std::make_unique<test::LimitedBackend>(vfio_user::VfioUserBackend::open(path),
                                                              InterruptKind::intx);
        line = backend.get();
        return std::make_unique<Device>(std::move(backend));
    }
    DriverOptions options() const override {
        DriverOptions options;
        options.command_timeout = 40ms;
        options.reset_timeout = 200ms;
        options.queues = 2;
        return options;
    }
    std::string complaints() override { return {}; }
    std::chrono::milliseconds load_time() const override { return 50ms; }
    sim::FaultInjector& faults() { return model_.faults(); }
    sim::virtio_blk::Disk& model() { return model_; }

    bool line_only = false;
    test::LimitedBackend* line = nullptr;  ///< of the device that was opened last

  private:
    sim::virtio_blk::Disk model_;
    test::SocketDirectory directory_;
    sim::ServerThread server_{model_, {.socket = directory_.path("virtio"), .log = {}}};
};

sim::virtio_blk::Options disk_options(bool packed) {
    return {.storage = {.size = 64 << 20, .write_cache = 1 << 20}, .queues = 2, .packed = packed};
}

class VirtioBlkFaults : public ::testing::TestWithParam<bool> {
  protected:
    VirtioBlkFaults() {
        ours.open();
        fill(1);
        EXPECT_EQ(ours.run(BlockOperation::write, 0, data), BlockStatus::ok);
    }
    void fill(std::uint32_t version) { test::fill_block(data.bytes(), 0, version); }
    /// A read of what was written last, and what it gives.
    BlockStatus read() {
        fill(99);
        return ours.run(BlockOperation::read, 0, data);
    }
    void expect_good_read() {
        EXPECT_EQ(read(), BlockStatus::ok);
        EXPECT_TRUE(test::block_is(data.bytes(), 0, 1));
    }

    std::shared_ptr<FaultyDisk> place = std::make_shared<FaultyDisk>(disk_options(GetParam()));
    test::Ours ours{place};
    DmaSpan data = ours.memory(0, 512);
};
INSTANTIATE_TEST_SUITE_P(Rings, VirtioBlkFaults, ::testing::Bool(),
                         [](const auto& ring) { return ring.param ? "Packed" : "Split"; });

TEST_P(VirtioBlkFaults, ARequestThatIsNeverFinishedIsSentAgain) {
    for (const FaultKind kind :
         {FaultKind::completion_drop, FaultKind::doorbell_ignored, FaultKind::wrong_phase}) {
        ours.told.clear();
        place->faults().order(kind);
        expect_good_read();
        EXPECT_THAT(ours.told,
                    Contains(HasSubstr("read of 1 sectors at sector 0 was not finished after 40 ms")))
            << name_of(kind);
        EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset"))) << name_of(kind);
        expect_good_read();
    }
}

TEST_P(VirtioBlkFaults, ALostInterruptCostsTimeOnly) {
    place->faults().order(FaultKind::interrupt_drop);
    expect_good_read();
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST_P(VirtioBlkFaults, UsedBuffersThatCannotBeAreAReset) {
    for (const FaultKind kind : {FaultKind::wrong_head, FaultKind::completion_duplicate}) {
        ours.told.clear();
        place->faults().order(kind);
        expect_good_read();
        expect_good_read();  // behind which a duplicate is found
        // In a packed ring the driver's next buffer overwrites the duplicate; then it is one place off.
        if (kind == FaultKind::wrong_head || !GetParam()) {
            EXPECT_THAT(ours.told, Contains(HasSubstr("used what cannot be"))) << name_of(kind);
        }
        EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset"))) << name_of(kind);
    }
}

TEST_P(VirtioBlkFaults, ADeviceThatStopsIsReset) {
    place->faults().order(FaultKind::never_ready);
    expect_good_read();
    EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset")));
}

TEST_P(VirtioBlkFaults, AResetThatFailsIsFollowedByOneOfTheWholeDevice) {
    place->faults().order(FaultKind::never_ready);
    place->faults().order(FaultKind::reset_failure);
    expect_good_read();
    EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset of the device")));
}

TEST_P(VirtioBlkFaults, ADeviceThatIsGoneEndsEveryRequest) {
    ours.may_fail = true;
    place->faults().order(FaultKind::all_ones);
    EXPECT_EQ(read(), BlockStatus::removed);
    EXPECT_EQ(read(), BlockStatus::removed);
    EXPECT_EQ(ours.run(BlockOperation::flush, 0, {}), BlockStatus::removed);
    EXPECT_THAT(ours.told, Contains(HasSubstr("is given up")));
}

TEST_P(VirtioBlkFaults, AnErrorIsTriedAgainOrTold) {
    for (int i = 0; i < 8; ++i) {
        ours.told.clear();
        place->faults().order(FaultKind::status_error);
        const BlockStatus status = read();
        EXPECT_TRUE(status == BlockStatus::ok || status == BlockStatus::not_supported) << to_string(status);
        EXPECT_THAT(ours.told, Contains(HasSubstr("read of 1 sectors at sector 0 failed")));
    }
    expect_good_read();
}

TEST_P(VirtioBlkFaults, WhatAnotherResetHasCostIsNoTimeOut) {
    fill(99);
    BlockRequest request;
    request.data = {&data, 1};
    request.length = data.length;
    place->faults().order(FaultKind::wrong_head);
    ours.submit_until_restarted(request);
    EXPECT_THAT(ours.told, Contains(HasSubstr("used what cannot be")));
    place->faults().order(FaultKind::completion_drop);
    EXPECT_EQ(ours.finish(), BlockStatus::ok);
    EXPECT_THAT(ours.told, Contains(HasSubstr("was not finished after 40 ms")));
    EXPECT_TRUE(test::block_is(data.bytes(), 0, 1));
}

TEST_P(VirtioBlkFaults, AShutdownDuringAResetFlushesBehindIt) {
    ours.on_told = [&](std::string_view text) {
        // Nothing but the flush is sent after this.
        if (text.contains("works again"))
            place->faults().order(FaultKind::status_error);
    };
    place->model().ask_for_reset();
    const TimePoint limit = Clock::now() + 20s;
    while (ours.told.empty() && Clock::now() < limit)
        ours.loop.turn(Clock::now() + 10ms);
    EXPECT_THAT(ours.told, Contains(HasSubstr("the disk is reset")));
    EXPECT_THAT(ours.told, Not(Contains(HasSubstr("works again"))));
    try {
        ours.shut_down();
        ADD_FAILURE() << "there was no flush";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("flush the cache"));
    }
}

TEST_P(VirtioBlkFaults, AWriteThatMustBeStableIsFlushed) {
    EXPECT_TRUE(ours.info().volatile_write_cache);
    EXPECT_FALSE(ours.info().force_unit_access);
    fill(2);
    EXPECT_EQ(ours.run(BlockOperation::write, 512, data, true), BlockStatus::ok);
    // A failed flush is not tried again.
    fill(3);
    for (int i = 0; i < 8; ++i) {
        place->faults().order(FaultKind::status_error);
        EXPECT_NE(ours.run(BlockOperation::flush, 0, {}), BlockStatus::ok);
    }
}

TEST_P(VirtioBlkFaults, AChangeOfTheCapacityIsTold) {
    place->model().announce_capacity(128 << 20);
    const TimePoint limit = Clock::now() + 20s;
    while (ours.told.empty() && Clock::now() < limit)
        ours.loop.turn(Clock::now() + 10ms);
    EXPECT_THAT(ours.told, Contains(HasSubstr("has 262144 sectors now instead of 131072")));
    expect_good_read();
}

TEST_P(VirtioBlkFaults, AQueueOnAnotherThreadGoesOnAfterAReset) {
    std::atomic<bool> end = false;
    BlockStatus status = BlockStatus::pending;
    // The queue of this thread has nothing outstanding, and lets go of its ring all the same.
    std::thread thread([&] {
        RunLoop loop;
        const std::unique_ptr<BlockQueue> queue = ours.disk().open_queue(loop);
        place->faults().order(FaultKind::completion_drop);
        BlockRequest request;
        BlockRequest* one = &request;
        request.data = {&data, 1};
        request.length = data.length;
        queue->submit({&one, 1});
        const TimePoint limit = Clock::now() + 20s;
        while (queue->reap({&one, 1}) == 0 && Clock::now() < limit)
            loop.turn(std::min(queue->next_reap(Clock::now()), limit));
        status = request.status;
        end = true;
    });
    while (!end)
        ours.loop.turn(Clock::now() + 1ms);
    thread.join();
    EXPECT_EQ(status, BlockStatus::ok);
    EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset")));
    EXPECT_TRUE(test::block_is(data.bytes(), 0, 1));
    expect_good_read();
}

TEST(VirtioBlkRefusals, ADeviceThatBypassesTheIommuIsRefused) {
    sim::virtio_blk::Options options = disk_options(false);
    options.iommu_platform = false;
    try {
        const test::Ours ours(std::make_shared<FaultyDisk>(options));
        ADD_FAILURE() << "it was driven";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::unsupported);
        EXPECT_THAT(error.what(), HasSubstr("would bypass the IOMMU (no VIRTIO_F_ACCESS_PLATFORM)"));
        EXPECT_THAT(error.what(), HasSubstr("iommu_platform=on"));
    }
}

TEST(VirtioBlkLine, ALineThatIsBrokenIsPolledFor) {
    sim::virtio_blk::Options slow = disk_options(false);
    slow.latency = 50ms;
    const auto place = std::make_shared<FaultyDisk>(slow);
    place->line_only = true;
    DriverOptions options;
    options.completion = CompletionMode::interrupt;
    test::Ours ours(place, options);
    ours.open();
    const DmaSpan data = ours.memory(0, 512);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, data), BlockStatus::ok);
    place->line->break_line();
    EXPECT_EQ(ours.run(BlockOperation::read, 0, data), BlockStatus::ok);
    EXPECT_THAT(ours.told, Contains(HasSubstr("completions are polled for")));
    BlockRequest request;
    BlockRequest* const one = &request;
    request.data = {&data, 1};
    request.length = data.length;
    BlockRequest* finished = nullptr;
    ours.queue->submit({&one, 1});
    EXPECT_EQ(ours.queue->reap({&finished, 1}), 0U);
    const TimePoint now = Clock::now();
    EXPECT_LE(ours.queue->next_reap(now), now);
    EXPECT_EQ(ours.finish(), BlockStatus::ok);
}

TEST(VirtioBlkRefusals, AReadOnlyDiskIsReadOnly) {
    sim::virtio_blk::Options options = disk_options(false);
    options.read_only = true;
    test::Ours ours(std::make_shared<FaultyDisk>(options));
    ours.open();
    const DmaSpan data = ours.memory(0, 4096);
    EXPECT_TRUE(ours.info().read_only);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, data), BlockStatus::ok);
    EXPECT_EQ(ours.run(BlockOperation::write, 0, data), BlockStatus::not_supported);
    EXPECT_EQ(ours.run(BlockOperation::discard, 0, 4096, {}), BlockStatus::not_supported);
    EXPECT_THAT(ours.told, Contains(HasSubstr("is read-only")));
}

}  // namespace

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return std::make_unique<FaultyDisk>(disk_options(false));
}

}  // namespace outboard
