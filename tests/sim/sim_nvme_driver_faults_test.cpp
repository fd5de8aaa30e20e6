// The NVMe driver on a simulated controller that goes wrong, a fault at a time.
#include "outboard/base/error.hpp"
#include "outboard/drivers/nvme/nvme.hpp"
#include "outboard/sim/models/nvme/controller.hpp"
#include "outboard/sim/server.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "tests/sim/socket_directory.hpp"
#include "tests/support/disk_load.hpp"
#include <gmock/gmock.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using sim::FaultKind;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class FaultyNvme final : public test::DiskPlace {
  public:
    const DriverDescription& driver() const override { return nvme::description; }
    std::unique_ptr<Device> open() override {
        return Device::open("vfio-user:" + server_.server().path().string());
    }
    DriverOptions options() const override {
        DriverOptions options;
        options.command_timeout = 40ms;
        options.reset_timeout = 200ms;
        return options;
    }
    std::string complaints() override { return {}; }
    std::chrono::milliseconds load_time() const override { return 50ms; }
    sim::FaultInjector& faults() { return model_.faults(); }
    sim::nvme::Controller& model() { return model_; }

  private:
    sim::nvme::Controller model_{
        {.namespaces = {{.size = 64 << 20}}, .queue_pairs = 2, .shadow_doorbells = false}};
    test::SocketDirectory directory_;
    sim::ServerThread server_{model_, {.socket = directory_.path("nvme"), .log = {}}};
};

class NvmeFaults : public ::testing::Test {
  protected:
    NvmeFaults() {
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

    std::shared_ptr<FaultyNvme> place = std::make_shared<FaultyNvme>();
    test::Ours ours{place};
    DmaSpan data = ours.memory(0, 512);
};

TEST_F(NvmeFaults, ACommandThatIsNeverFinishedIsSentAgain) {
    place->faults().order(FaultKind::completion_drop);
    expect_good_read();
    EXPECT_THAT(ours.told, Contains(HasSubstr("read of 1 blocks at LBA 0 was not finished after 40 ms")));
    expect_good_read();
}

TEST_F(NvmeFaults, ACommandThatIsNotSeenIsSentAgain) {
    place->faults().order(FaultKind::doorbell_ignored);
    expect_good_read();
    expect_good_read();
}

TEST_F(NvmeFaults, ALostInterruptCostsTimeOnly) {
    place->faults().order(FaultKind::interrupt_drop);
    expect_good_read();
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST_F(NvmeFaults, CompletionsThatCannotBeAreAReset) {
    for (const FaultKind kind :
         {FaultKind::wrong_identifier, FaultKind::wrong_head, FaultKind::completion_duplicate}) {
        ours.told.clear();
        place->faults().order(kind);
        expect_good_read();
        expect_good_read();  // behind which a duplicate is found
        EXPECT_THAT(ours.told, Contains(HasSubstr("completed what was not asked for"))) << name_of(kind);
        EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset"))) << name_of(kind);
    }
}

TEST_F(NvmeFaults, ADeviceThatStopsIsReset) {
    place->faults().order(FaultKind::never_ready);
    expect_good_read();
    EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset")));
}

TEST_F(NvmeFaults, ADeviceThatIsGoneEndsEveryRequest) {
    ours.may_fail = true;
    place->faults().order(FaultKind::all_ones);
    EXPECT_EQ(read(), BlockStatus::removed);
    EXPECT_EQ(read(), BlockStatus::removed);
    EXPECT_EQ(ours.run(BlockOperation::flush, 0, {}), BlockStatus::removed);
    EXPECT_THAT(ours.told, Contains(HasSubstr("is given up")));
}

TEST_F(NvmeFaults, AnErrorIsTriedAgainOrTold) {
    for (int i = 0; i < 8; ++i) {
        ours.told.clear();
        place->faults().order(FaultKind::status_error);
        const BlockStatus status = read();
        EXPECT_TRUE(status == BlockStatus::ok || status == BlockStatus::media_error ||
                    status == BlockStatus::device_error)
            << to_string(status);
        EXPECT_THAT(ours.told, Contains(HasSubstr("read of 1 blocks at LBA 0 failed")));
    }
    expect_good_read();
}

TEST_F(NvmeFaults, WhatAnotherResetHasCostIsNoTimeOut) {
    fill(99);
    BlockRequest request;
    request.data = {&data, 1};
    request.length = data.length;
    place->faults().order(FaultKind::wrong_head);
    ours.submit_until_restarted(request);
    EXPECT_THAT(ours.told, Contains(HasSubstr("completed what was not asked for")));
    place->faults().order(FaultKind::completion_drop);
    EXPECT_EQ(ours.finish(), BlockStatus::ok);
    EXPECT_THAT(ours.told, Contains(HasSubstr("was not finished after 40 ms")));
    EXPECT_TRUE(test::block_is(data.bytes(), 0, 1));
}

TEST_F(NvmeFaults, AQueueGoesOnWithThePairThatIsLeft) {
    place->model().grant_queue_pairs(1);
    place->faults().order(FaultKind::wrong_head);
    for (int i = 0; i < 20; ++i)
        expect_good_read();
    EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset")));
    EXPECT_THAT(ours.told, Not(Contains(HasSubstr("is given up"))));
}

TEST(NvmeQueues, ThoseThatAreLeftAfterAResetGoOn) {
    const auto place = std::make_shared<FaultyNvme>();
    DriverOptions options = place->options();
    options.queues = 2;
    options.completion = CompletionMode::poll;
    test::Ours ours(place, options);
    ours.open();
    const DmaSpan data = ours.memory(0, 512);
    std::unique_ptr<BlockQueue> second = ours.disk().open_queue(ours.loop);
    place->model().grant_queue_pairs(1);
    place->faults().order(FaultKind::wrong_head);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, data), BlockStatus::ok);
    ours.queue.swap(second);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, data), BlockStatus::removed);
    EXPECT_THAT(ours.told, Contains(HasSubstr("grants 1 queue pairs only since a reset")));
    ours.queue.swap(second);
    EXPECT_EQ(ours.run(BlockOperation::read, 0, data), BlockStatus::ok);
}

TEST_F(NvmeFaults, AQueueOnAnotherThreadGoesOnAfterAReset) {
    ours.queue.reset();
    std::atomic<bool> end = false;
    BlockStatus status = BlockStatus::pending;
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
}

TEST_F(NvmeFaults, WhatFailedIsInTheErrorLog) {
    place->faults().order(FaultKind::status_error);
    static_cast<void>(read());
    const std::optional<DiskHealth> health = ours.health();
    ASSERT_TRUE(health.has_value());
    EXPECT_EQ(health->logged_errors, 1U);
    ASSERT_EQ(health->errors.size(), 1U);
    EXPECT_EQ(health->errors[0].number, 1U);
    EXPECT_EQ(health->errors[0].disk, 1U);
    EXPECT_EQ(health->errors[0].block, 0U);
}

TEST_F(NvmeFaults, HealthIsReadDuringAReset) {
    place->faults().order(FaultKind::completion_drop);
    test::fill_block(data.bytes(), 0, 1);
    BlockRequest request;
    request.length = data.length;
    request.data = {&data, 1};
    BlockRequest* one = &request;
    ASSERT_EQ(ours.queue->submit({&one, 1}), 1U);
    // Longer than its deadline and that of its abort: the queue asks for a reset when it is looked at.
    std::this_thread::sleep_for(100ms);
    const std::size_t reaped = ours.queue->reap({&one, 1});
    EXPECT_TRUE(ours.health().has_value());
    if (reaped == 0) {
        EXPECT_EQ(ours.finish(), BlockStatus::ok);
    }
}

TEST_F(NvmeFaults, AControllerThatIsGivenUpTellsNothing) {
    ours.may_fail = true;
    place->faults().order(FaultKind::all_ones);
    static_cast<void>(read());
    try {
        static_cast<void>(ours.health());
        FAIL() << "it answered";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("it is given up"));
    }
}

}  // namespace

std::unique_ptr<test::DiskPlace> test::make_disk_place() {
    return std::make_unique<FaultyNvme>();
}

}  // namespace outboard
