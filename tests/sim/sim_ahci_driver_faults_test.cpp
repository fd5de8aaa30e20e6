// The AHCI driver on a simulated HBA that goes wrong, a fault at a time, and whose disks come and go.
#include "outboard/base/error.hpp"
#include "outboard/sim/models/ahci/hba.hpp"
#include "outboard/sim/server.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/drivers/ahci/ahci_load.hpp"
#include "tests/sim/socket_directory.hpp"
#include <gmock/gmock.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using sim::FaultKind;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// `reset_time`: from a reset of a disk to its being ready.
sim::ahci::Options two_disks(Duration reset_time) {
    sim::ahci::Options options;
    options.ports.resize(3);
    for (const unsigned port : {0U, 2U}) {
        options.ports[port] = {
            .disk = {.storage = {.size = 64 << 20}, .serial = port == 0 ? "first" : "second"}};
        options.ports[port]->disk.reset_time = reset_time;
    }
    return options;
}

class FaultyAhci final : public test::AhciPlace {
  public:
    explicit FaultyAhci(Duration reset_time = {}) : model_(two_disks(reset_time)) {}
    std::unique_ptr<Device> open() override {
        return Device::open("vfio-user:" + server_.server().path().string());
    }
    DriverOptions options() const override {
        DriverOptions options;
        options.command_timeout = 40ms;
        options.reset_timeout = 200ms;
        return options;
    }
    std::string complaints() override {
        return model_.breaches() == 0 ? "" : "the HBA was used in a way that is not defined";
    }
    std::chrono::milliseconds load_time() const override { return 50ms; }
    BlockStatus bad_status() const override { return BlockStatus::media_error; }
    std::string bad_words() const override { return {}; }

    sim::FaultInjector& faults() { return model_.faults(); }
    sim::ahci::Hba& hba() { return model_; }

  private:
    sim::ahci::Hba model_;
    test::SocketDirectory directory_;
    sim::ServerThread server_{model_, {.socket = directory_.path("ahci"), .log = {}}};
};

class AhciFaults : public ::testing::Test {
  protected:
    AhciFaults() {
        ours.open("first");
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
    /// Turns the loop until something is told that contains the text.
    void await(std::string_view text) {
        const TimePoint limit = Clock::now() + 10s;
        while (Clock::now() < limit && std::ranges::none_of(ours.told, [&](const std::string& line) {
                   return line.find(text) != std::string::npos;
               }))
            ours.loop.turn(Clock::now() + 5ms);
        EXPECT_THAT(ours.told, Contains(HasSubstr(std::string(text))));
    }

    std::shared_ptr<FaultyAhci> place = std::make_shared<FaultyAhci>();
    test::OurAhci ours{place};
    DmaSpan data = ours.memory(0, 512);
};

TEST_F(AhciFaults, CommandsThatAreNotSeenOrNeverFinishedAreSentAgain) {
    for (const FaultKind kind : {FaultKind::completion_drop, FaultKind::doorbell_ignored,
                                 FaultKind::wrong_identifier, FaultKind::never_ready}) {
        ours.told.clear();
        place->faults().order(kind);
        expect_good_read();
        EXPECT_THAT(ours.told, Contains(HasSubstr("of 1 sectors at LBA 0 was not finished after 40 ms")))
            << name_of(kind);
        EXPECT_THAT(ours.told, Contains(HasSubstr("works again after a reset"))) << name_of(kind);
        expect_good_read();
    }
}

TEST_F(AhciFaults, ALostOrLateInterruptCostsTimeOnly) {
    for (const FaultKind kind :
         {FaultKind::interrupt_drop, FaultKind::interrupt_delay, FaultKind::interrupt_duplicate,
          FaultKind::completion_duplicate, FaultKind::completion_delay}) {
        place->faults().order(kind);
        expect_good_read();
        expect_good_read();
    }
    EXPECT_THAT(ours.told, IsEmpty());
}

TEST_F(AhciFaults, AnErrorIsTriedAgainOrTold) {
    for (int i = 0; i < 8; ++i) {
        ours.told.clear();
        place->faults().order(FaultKind::status_error);
        const BlockStatus status = read();
        EXPECT_TRUE(status == BlockStatus::ok || status == BlockStatus::media_error) << to_string(status);
        EXPECT_THAT(ours.told, Contains(HasSubstr("READ FPDMA QUEUED of 1 sectors at LBA 0 failed")));
        EXPECT_THAT(ours.told, Not(Contains(HasSubstr("reset"))));
    }
    expect_good_read();
}

TEST_F(AhciFaults, OfManyCommandsOnlyTheFailedOneFails) {
    constexpr std::size_t count = 30;
    std::array<BlockRequest, count> requests;
    std::array<DmaSpan, count> memory;
    std::vector<BlockRequest*> batch;
    for (std::size_t i = 0; i < count; ++i) {
        memory[i] = ours.memory(i * 512, 512);
        requests[i].offset = i * 512;
        requests[i].length = 512;
        requests[i].data = {&memory[i], 1};
        batch.push_back(&requests[i]);
    }
    place->faults().order(FaultKind::status_error);
    ours.run(batch);
    EXPECT_LE(std::ranges::count_if(requests,
                                    [](const BlockRequest& one) { return one.status != BlockStatus::ok; }),
              1);
}

TEST_F(AhciFaults, ADiskThatStaysBusyAfterItsResetHasTheHbaReset) {
    place->faults().order(FaultKind::never_ready);
    place->faults().order(FaultKind::reset_failure);
    expect_good_read();
    EXPECT_THAT(ours.told, Contains(HasSubstr("the HBA is reset")));
    ours.open("second");
    EXPECT_EQ(ours.run(BlockOperation::read, 0, data), BlockStatus::ok);
}

TEST_F(AhciFaults, OtherDisksGoOnMeanwhile) {
    const std::unique_ptr<BlockQueue> second = ours.disk("second").open_queue(ours.loop);
    place->faults().order(FaultKind::never_ready);
    BlockRequest request;
    BlockRequest* one = &request;
    request.data = {&data, 1};
    request.length = data.length;
    ours.queue->submit({&one, 1});
    const DmaSpan other_data = ours.memory(4096, 512);
    const TimePoint limit = Clock::now() + 20s;
    unsigned others = 0;
    while (request.status == BlockStatus::pending && Clock::now() < limit) {
        BlockRequest other;
        BlockRequest* two = &other;
        other.data = {&other_data, 1};
        other.length = other_data.length;
        second->submit({&two, 1});
        while (second->reap({&two, 1}) == 0 && Clock::now() < limit) {
            ours.queue->reap({&one, 1});
            ours.loop.turn(
                std::min({second->next_reap(Clock::now()), ours.queue->next_reap(Clock::now()), limit}));
        }
        EXPECT_EQ(other.status, BlockStatus::ok);
        ++others;
        ours.queue->reap({&one, 1});
        ours.loop.turn(Clock::now());
    }
    EXPECT_EQ(request.status, BlockStatus::ok);
    EXPECT_GT(others, 10U);
}

TEST_F(AhciFaults, ADeviceThatIsGoneEndsEveryRequest) {
    ours.may_fail = true;
    place->faults().order(FaultKind::all_ones);
    EXPECT_EQ(read(), BlockStatus::removed);
    EXPECT_EQ(read(), BlockStatus::removed);
    EXPECT_EQ(ours.run(BlockOperation::flush, 0, {}), BlockStatus::removed);
    EXPECT_THAT(ours.told, Contains(HasSubstr("is given up")));
}

TEST_F(AhciFaults, ADiskThatIsPulledOutIsRemovedAndServesWhatOpensItWhenItIsBack) {
    place->hba().plug(0, false);
    EXPECT_EQ(read(), BlockStatus::removed);
    EXPECT_THAT(ours.told, Contains(HasSubstr("the disk first has gone")));
    EXPECT_EQ(read(), BlockStatus::removed);
    ours.queue.reset();
    EXPECT_THROW(ours.open("first"), Error);
    place->hba().plug(0, true, 20ms);
    ours.open("second");
    EXPECT_EQ(ours.run(BlockOperation::read, 0, data), BlockStatus::ok);
    await("the disk first is back");
    ours.open("first");
    // What was there is another thing: it had power all the time here.
    expect_good_read();
}

TEST_F(AhciFaults, AQueueDoesNotGoOnWhenItsDiskIsBack) {
    place->hba().plug(0, false);
    EXPECT_EQ(read(), BlockStatus::removed);
    const std::unique_ptr<BlockQueue> second = ours.disk("second").open_queue(ours.loop);
    place->hba().plug(0, true, 20ms);
    BlockRequest request;
    BlockRequest* one = &request;
    request.data = {&data, 1};
    request.length = data.length;
    second->submit({&one, 1});
    while (second->reap({&one, 1}) == 0)
        ours.loop.turn(second->next_reap(Clock::now()));
    await("the disk first is back");
    EXPECT_EQ(read(), BlockStatus::removed);
    ours.open("first");
    expect_good_read();
}

// ---- disks that take their time after a reset ----

/// Both disks have a queue; each block holds its number, version 1.
class AhciSlowReset : public ::testing::Test {
  protected:
    AhciSlowReset() {
        for (std::size_t disk = 0; disk < 2; ++disk) {
            ours.open(disk);
            for (std::uint64_t block = 0; block < 8; ++block) {
                test::fill_block(memory(disk, block).bytes(), 100 * disk + block, 1);
                EXPECT_EQ(ours.run(BlockOperation::write, block * 512, memory(disk, block)), BlockStatus::ok);
            }
        }
        ours.queue.reset();
        for (std::size_t disk = 0; disk < 2; ++disk)
            queues[disk] = ours.disk(disk).open_queue(ours.loop);
        ours.told.clear();
    }
    DmaSpan memory(std::size_t disk, std::uint64_t block) const {
        return ours.memory((16 * disk + block) * 512, 512);
    }
    void submit(std::size_t disk, std::uint64_t block) {
        test::fill_block(memory(disk, block).bytes(), 0, 99);
        data[disk][block] = memory(disk, block);
        BlockRequest& request = requests[disk][block];
        request = {};
        request.offset = block * 512;
        request.length = 512;
        request.data = {&data[disk][block], 1};
        BlockRequest* const one = &request;
        ASSERT_EQ(queues[disk]->submit({&one, 1}), 1U);
        ++outstanding;
    }
    /// Looks at both queues without a pause, as a user who polls does.
    void look() {
        for (const auto& queue : queues) {
            BlockRequest* finished = nullptr;
            outstanding -= queue->reap({&finished, 1});
        }
        ours.loop.turn(Clock::now());
    }
    bool told(std::string_view text) const {
        return std::ranges::any_of(
            ours.told, [&](const std::string& line) { return line.find(text) != std::string::npos; });
    }
    void expect_all_good() {
        const TimePoint limit = Clock::now() + 20s;
        while (outstanding != 0 && Clock::now() < limit)
            look();
        ASSERT_EQ(outstanding, 0U);
        for (std::size_t disk = 0; disk < 2; ++disk)
            for (std::uint64_t block = 0; block < 8; ++block) {
                if (requests[disk][block].length == 0)
                    continue;
                EXPECT_EQ(requests[disk][block].status, BlockStatus::ok) << disk << ", " << block;
                EXPECT_TRUE(test::block_is(memory(disk, block).bytes(), 100 * disk + block, 1))
                    << disk << ", " << block;
            }
    }

    std::shared_ptr<FaultyAhci> place = std::make_shared<FaultyAhci>(60ms);
    test::OurAhci ours{place};
    std::array<std::unique_ptr<BlockQueue>, 2> queues;
    std::array<std::array<BlockRequest, 8>, 2> requests;
    std::array<std::array<DmaSpan, 8>, 2> data;
    std::size_t outstanding = 0;
};

TEST_F(AhciSlowReset, WhatComesDuringAResetOfTheDiskWaits) {
    place->faults().order(FaultKind::completion_drop);
    submit(0, 0);
    const TimePoint limit = Clock::now() + 10s;
    while (!told("the disk is reset") && Clock::now() < limit)
        look();
    for (std::uint64_t block = 1; block < 8; ++block) {
        submit(0, block);
        for (const TimePoint next = Clock::now() + 5ms; Clock::now() < next;)
            look();
    }
    expect_all_good();
}

TEST_F(AhciSlowReset, AResetOfTheHbaFinishesNothingThatWasNotDone) {
    for (int round = 0; round < 3; ++round) {
        for (std::size_t disk = 0; disk < 2; ++disk) {
            place->faults().order(FaultKind::completion_drop);
            submit(disk, 0);
            submit(disk, 1);
        }
        // The first disk's own reset does not help.
        place->faults().order(FaultKind::reset_failure);
        const TimePoint limit = Clock::now() + 10s;
        while (!told("the HBA is reset") && Clock::now() < limit)
            look();
        EXPECT_TRUE(told("the HBA is reset"));
        for (std::uint64_t block = 2; block < 8; ++block)
            for (std::size_t disk = 0; disk < 2; ++disk) {
                submit(disk, block);
                for (const TimePoint next = Clock::now() + 5ms; Clock::now() < next;)
                    look();
            }
        expect_all_good();
        ours.told.clear();
    }
}

}  // namespace

std::unique_ptr<test::AhciPlace> test::make_ahci_place() {
    return std::make_unique<FaultyAhci>();
}

}  // namespace outboard
