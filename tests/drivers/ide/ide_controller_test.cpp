// The IDE driver on a controller made of registers and DMA memory: command sequences, merging, errors,
// time-outs, resets. Every test ends with: no access that the specifications do not allow.
#include "outboard/base/error.hpp"
#include "outboard/classes/block_io.hpp"
#include "outboard/drivers/ide/channel_engine.hpp"
#include "outboard/drivers/ide/ide.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "fake_ide.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using outboard::testing::FakeCommand;
using outboard::testing::FakeIde;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class IdeController : public ::testing::Test {
  protected:
    IdeController() {
        options.report = [this](std::string_view text) { told.emplace_back(text); };
    }
    ~IdeController() override {
        requests_.clear();
        queue.reset();
        EXPECT_THAT(fake->violations, IsEmpty());
        memory_ = {};
        driver.reset();
    }

    void plug(const FakeIde::Options& fake_options = {}) {
        auto owned = std::make_unique<FakeIde>(fake_options);
        fake = owned.get();
        device_ = std::make_unique<Device>(std::move(owned));
        device_->create_arena(
            {.size = ide::description.dma_bytes + (4U << 20), .address_bits = 32, .huge_pages = false});
        memory_ = device_->arena().allocate(4U << 20, 4096);
    }
    void start() {
        driver = loop.run(ide::description.start(*device_, loop, options));
        disks = driver->block_devices();
        fake->commands.clear();
    }
    /// One disk, primary master, and a queue on it.
    void start_one() {
        plug();
        fake->add_disk(0, 0);
        start();
        ASSERT_EQ(disks.size(), 1U);
        queue = disks[0]->open_queue(loop);
    }

    Device& device() { return *device_; }
    DmaSpan memory(std::size_t offset, std::size_t size) { return memory_.span().part(offset, size); }
    void fill(const DmaSpan& span, unsigned seed) {
        for (std::size_t i = 0; i < span.length; ++i)
            span.address[i] = static_cast<std::byte>(seed + i * 7 + i / 512);
    }

    BlockRequest* make(BlockOperation operation, std::uint64_t offset, std::vector<DmaSpan> data,
                       bool fua = false) {
        Request& owned = requests_.emplace_back();
        owned.data = std::move(data);
        owned.request.operation = operation;
        owned.request.force_unit_access = fua;
        owned.request.offset = offset;
        for (const DmaSpan& span : owned.data)
            owned.request.length += span.length;
        owned.request.data = owned.data;
        return &owned.request;
    }
    /// Submits all at once and turns the loop until all are back. How they ended, in the order of `batch`.
    std::vector<BlockStatus> run(const std::vector<BlockRequest*>& batch) {
        EXPECT_EQ(queue->submit(batch), batch.size());
        reap(batch.size());
        std::vector<BlockStatus> result;
        result.reserve(batch.size());
        for (const BlockRequest* request : batch)
            result.push_back(request->status);
        return result;
    }
    void reap(std::size_t count) {
        const TimePoint limit = Clock::now() + 10s;
        std::vector<BlockRequest*> finished(64);
        while (count > 0) {
            count -= queue->reap(finished);
            ASSERT_LT(Clock::now(), limit) << "requests were lost";
            if (count > 0)
                loop.turn(std::min(queue->next_reap(Clock::now()), limit));
        }
    }
    std::vector<FakeCommand> data_commands() const {
        std::vector<FakeCommand> result;
        std::ranges::copy_if(fake->commands, std::back_inserter(result), [](const FakeCommand& command) {
            return command.opcode != 0xec && command.opcode != 0xef;
        });
        return result;
    }
    void shut_down() {
        queue.reset();
        loop.run(driver->shut_down());
    }

    struct Request {
        BlockRequest request;
        std::vector<DmaSpan> data;
    };

    FakeIde* fake = nullptr;
    DriverOptions options;
    std::vector<std::string> told;
    RunLoop loop;

  private:
    std::unique_ptr<Device> device_;
    std::deque<Request> requests_;
    DmaBuffer memory_;

  protected:
    std::unique_ptr<Driver> driver;
    std::vector<BlockDevice*> disks;
    std::unique_ptr<BlockQueue> queue;
};

constexpr auto ok = BlockStatus::ok;
constexpr auto read_op = BlockOperation::read;
constexpr auto write_op = BlockOperation::write;

// ---- finding disks ----

TEST_F(IdeController, FindsDisksInAllFourPlaces) {
    plug();
    for (unsigned place = 0; place < 4; ++place)
        fake->add_disk(place / 2, place % 2).serial = std::to_string(place);
    start();
    ASSERT_EQ(disks.size(), 4U);
    for (unsigned place = 0; place < 4; ++place)
        EXPECT_EQ(disks[place]->info().serial, std::to_string(place));
    EXPECT_EQ(disks[0]->info().capacity, 4096U * 512);
    EXPECT_EQ(disks[0]->info().model, "FAKE DISK");
    EXPECT_TRUE(disks[0]->info().volatile_write_cache);
    EXPECT_FALSE(disks[0]->info().force_unit_access);
    shut_down();
}

TEST_F(IdeController, AnEmptyControllerHasNoDisks) {
    plug();
    start();
    EXPECT_THAT(disks, IsEmpty());
}

TEST_F(IdeController, LeavesAPacketDeviceAlone) {
    plug();
    fake->add_disk(0, 0).packet = true;
    fake->add_disk(1, 0);
    start();
    EXPECT_EQ(disks.size(), 1U);
    EXPECT_THAT(told, Contains(HasSubstr("master of fake:ide, primary channel is a packet (ATAPI) device")));
}

TEST_F(IdeController, KeepsTheTransferModeAndSetsTheWriteCache) {
    options.write_cache = false;
    plug();
    fake->add_disk(0, 0).transfer_mode = 0x22;
    start();
    EXPECT_EQ(fake->disk(0, 0).transfer_mode, 0x22);
    EXPECT_FALSE(fake->disk(0, 0).write_cache);
    EXPECT_FALSE(disks[0]->info().volatile_write_cache);
}

TEST_F(IdeController, AChannelThatReadsAsAllOnesIsEmpty) {
    plug();
    fake->add_disk(0, 0);
    fake->faults(0).gone = true;
    fake->add_disk(1, 0);
    start();
    EXPECT_EQ(disks.size(), 1U);
}

TEST_F(IdeController, TheFirstOfTwoDisksMayBeMissing) {
    plug();
    fake->add_disk(0, 1);
    start();
    EXPECT_EQ(disks.size(), 1U);
}

TEST_F(IdeController, FlushesTheCacheAtTheEnd) {
    start_one();
    shut_down();
    EXPECT_EQ(fake->disk(0, 0).flushes, 1U);
}

// ---- moving data ----

TEST_F(IdeController, WritesAndReadsBack) {
    start_one();
    fill(memory(0, 8192), 1);
    EXPECT_THAT(run({make(write_op, 5UL * 512, {memory(0, 8192)})}), ElementsAre(ok));
    EXPECT_THAT(run({make(read_op, 5UL * 512, {memory(8192, 8192)})}), ElementsAre(ok));
    EXPECT_TRUE(std::ranges::equal(memory(0, 8192).bytes(), memory(8192, 8192).bytes()));
    EXPECT_THAT(data_commands(), ElementsAre(FakeCommand{0, 0, 0xca, 5, 16, fake->commands[0].features},
                                             FakeCommand{0, 0, 0xc8, 5, 16, fake->commands[1].features}));
}

TEST_F(IdeController, ScattersAndGathers) {
    start_one();
    fill(memory(0, 4096), 3);
    EXPECT_THAT(run({make(write_op, 0, {memory(0, 2), memory(0x10002, 510), memory(0x1fffe, 1024)})}),
                ElementsAre(ok));
    EXPECT_THAT(run({make(read_op, 0, {memory(0x40000, 1000), memory(0x30000, 536)})}), ElementsAre(ok));
    std::vector<std::byte> wrote;
    for (const DmaSpan& span : {memory(0, 2), memory(0x10002, 510), memory(0x1fffe, 1024)})
        wrote.insert(wrote.end(), span.bytes().begin(), span.bytes().end());
    std::vector<std::byte> got;
    for (const DmaSpan& span : {memory(0x40000, 1000), memory(0x30000, 536)})
        got.insert(got.end(), span.bytes().begin(), span.bytes().end());
    EXPECT_EQ(wrote, got);
}

TEST_F(IdeController, UsesFortyEightBitsOnlyBeyondTwentyEight) {
    plug();
    fake->add_disk(0, 0).sectors = 0x20000000;
    start();
    queue = disks[0]->open_queue(loop);
    EXPECT_THAT(run({make(read_op, 0x0ffffff0ULL * 512, {memory(0, 8192)})}), ElementsAre(ok));
    EXPECT_THAT(run({make(write_op, 0x1fffffffULL * 512, {memory(0, 512)})}), ElementsAre(ok));
    EXPECT_THAT(run({make(read_op, 0x1000UL * 512, {memory(0, 512)})}), ElementsAre(ok));
    const auto commands = data_commands();
    EXPECT_EQ(commands[0].opcode, 0x25);
    EXPECT_EQ(commands[0].lba, 0x0ffffff0U);
    EXPECT_EQ(commands[0].count, 16U);
    EXPECT_EQ(commands[1].opcode, 0x35);
    EXPECT_EQ(commands[1].lba, 0x1fffffffU);
    EXPECT_EQ(commands[2].opcode, 0xc8);
}

TEST_F(IdeController, MergesNeighboursIntoOneCommand) {
    start_one();
    fill(memory(0, 1 << 16), 9);
    // The first goes at once; the others wait for it and then go together.
    EXPECT_THAT(run({make(write_op, 1 << 20, {memory(0, 512)}), make(write_op, 0, {memory(0, 4096)}),
                     make(write_op, 4096, {memory(8192, 4096)}), make(write_op, 8192, {memory(4096, 4096)})}),
                ElementsAre(ok, ok, ok, ok));
    const auto commands = data_commands();
    ASSERT_EQ(commands.size(), 2U);
    EXPECT_EQ(commands[1].lba, 0U);
    EXPECT_EQ(commands[1].count, 24U);
    EXPECT_THAT(run({make(read_op, 4096, {memory(0x20000, 4096)})}), ElementsAre(ok));
    EXPECT_TRUE(std::ranges::equal(memory(0x20000, 4096).bytes(), memory(8192, 4096).bytes()));
}

TEST_F(IdeController, ServesBothDisksOfAChannelInTurn) {
    plug();
    fake->add_disk(0, 0);
    fake->add_disk(0, 1);
    start();
    queue = disks[0]->open_queue(loop);
    auto other = disks[1]->open_queue(loop);
    std::vector<BlockRequest*> first;
    std::vector<BlockRequest*> second;
    for (std::uint64_t i = 0; i < 4; ++i) {
        first.push_back(make(read_op, i * 65536, {memory(0, 512)}));
        second.push_back(make(read_op, i * 65536, {memory(512, 512)}));
    }
    queue->submit(first);
    other->submit(second);
    reap(4);
    std::swap(queue, other);
    reap(4);
    std::vector<unsigned> units;
    for (const FakeCommand& command : data_commands())
        units.push_back(command.unit);
    EXPECT_THAT(units, ElementsAre(0, 1, 0, 1, 0, 1, 0, 1));
}

TEST_F(IdeController, TakesNoMoreThanItsDepth) {
    start_one();
    std::vector<BlockRequest*> many;
    many.reserve(70);
    for (std::uint64_t i = 0; i < 70; ++i)
        many.push_back(make(read_op, (i * 2) * 512, {memory(0, 512)}));
    EXPECT_EQ(queue->submit(many), 64U);
    reap(64);
    EXPECT_EQ(queue->next_reap(Clock::now()), TimePoint::max());
}

TEST_F(IdeController, RefusesMalformedRequests) {
    start_one();
    const std::uint64_t capacity = disks[0]->info().capacity;
    EXPECT_THAT(
        run({make(read_op, capacity, {memory(0, 512)}), make(read_op, capacity - 512, {memory(0, 1024)}),
             make(read_op, 1, {memory(0, 512)}), make(read_op, 0, {memory(0, 100)}), make(read_op, 0, {})}),
        ::testing::Each(BlockStatus::out_of_range));
    BlockRequest* lying = make(read_op, 0, {memory(0, 512)});
    lying->length = 1024;
    EXPECT_THAT(run({make(read_op, 0, {memory(1, 512)}), lying, make(read_op, 0, {memory(0, 2U << 20)}),
                     make(BlockOperation::write_zeroes, 0, {memory(0, 512)})}),
                ::testing::Each(BlockStatus::not_supported));
    EXPECT_THAT(data_commands(), IsEmpty());
}

// ---- flush, forced writes, discard ----

TEST_F(IdeController, AFlushComesAfterTheWritesBeforeIt) {
    start_one();
    EXPECT_THAT(run({make(write_op, 0, {memory(0, 512)}), make(BlockOperation::flush, 0, {}),
                     make(write_op, 512, {memory(0, 512)})}),
                ElementsAre(ok, ok, ok));
    std::vector<int> opcodes;
    for (const FakeCommand& command : data_commands())
        opcodes.push_back(command.opcode);
    EXPECT_THAT(opcodes, ElementsAre(0xca, 0xea, 0xca));
}

TEST_F(IdeController, AForcedWriteIsFlushedWhereTheDiskHasNoSuchCommand) {
    start_one();
    EXPECT_THAT(run({make(write_op, 0, {memory(0, 512)}, true)}), ElementsAre(ok));
    EXPECT_EQ(fake->disk(0, 0).flushes, 1U);
}

TEST_F(IdeController, AForcedWriteIsOneCommandWhereTheDiskHasIt) {
    plug();
    fake->add_disk(0, 0).fua = true;
    start();
    queue = disks[0]->open_queue(loop);
    EXPECT_TRUE(disks[0]->info().force_unit_access);
    EXPECT_THAT(run({make(write_op, 0, {memory(0, 512)}, true)}), ElementsAre(ok));
    EXPECT_EQ(data_commands().at(0).opcode, 0x3d);
    EXPECT_EQ(fake->disk(0, 0).flushes, 0U);
}

TEST_F(IdeController, AFlushWithoutACacheNeedsNoCommand) {
    options.write_cache = false;
    start_one();
    EXPECT_THAT(run({make(BlockOperation::flush, 0, {})}), ElementsAre(ok));
    EXPECT_THAT(data_commands(), IsEmpty());
}

TEST_F(IdeController, DiscardsByTrim) {
    plug();
    fake->add_disk(0, 0).sectors = 200000;
    start();
    queue = disks[0]->open_queue(loop);
    ASSERT_GE(disks[0]->info().max_discard, 70000U * 512);
    BlockRequest* discard = make(BlockOperation::discard, 100UL * 512, {});
    discard->length = 70000UL * 512;
    EXPECT_THAT(run({discard}), ElementsAre(ok));
    const auto& trimmed = fake->disk(0, 0).trimmed;
    EXPECT_EQ(trimmed.size(), 70000U);
    EXPECT_EQ(*trimmed.begin(), 100U);
    EXPECT_EQ(*trimmed.rbegin(), 70099U);
}

// ---- PIO ----

TEST_F(IdeController, MovesTheSameDataWithoutDma) {
    options.dma = false;
    start_one();
    fill(memory(0, 4096), 5);
    EXPECT_THAT(run({make(write_op, 512, {memory(0, 700), memory(1024, 836)}),
                     make(write_op, 2048, {memory(2048, 512)})}),
                ElementsAre(ok, ok));
    EXPECT_THAT(run({make(read_op, 512, {memory(0x10000, 2048)})}), ElementsAre(ok));
    std::vector<std::byte> wrote;
    for (const DmaSpan& span : {memory(0, 700), memory(1024, 836), memory(2048, 512)})
        wrote.insert(wrote.end(), span.bytes().begin(), span.bytes().end());
    EXPECT_TRUE(std::ranges::equal(wrote, memory(0x10000, 2048).bytes()));
    EXPECT_EQ(data_commands().at(0).opcode, 0x30);
}

TEST_F(IdeController, FallsBackToPioForADiskWithoutDma) {
    plug();
    fake->add_disk(0, 0).dma = false;
    start();
    queue = disks[0]->open_queue(loop);
    EXPECT_THAT(told, Contains(HasSubstr("driven by PIO")));
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)})}), ElementsAre(ok));
    EXPECT_EQ(data_commands().at(0).opcode, 0x20);
}

TEST_F(IdeController, APioErrorIsTold) {
    options.dma = false;
    start_one();
    fake->disk(0, 0).bad[3] = 0x40;
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 4096)})}), ElementsAre(BlockStatus::media_error));
    EXPECT_THAT(run({make(read_op, 4096, {memory(0, 4096)})}), ElementsAre(ok));
}

// ---- errors ----

TEST_F(IdeController, AMediaErrorIsToldWithItsPlace) {
    start_one();
    fake->disk(0, 0).bad[7] = 0x40;
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 8192)})}), ElementsAre(BlockStatus::media_error));
    EXPECT_THAT(
        told, ElementsAre("master of fake:ide, primary channel: READ DMA of 16 sectors at LBA 0 failed: the "
                          "medium's data could not be corrected (UNC) at LBA 7; status 0x51, error 0x40"));
}

TEST_F(IdeController, AMediaErrorBeyond28BitsIsToldWithItsPlace) {
    plug();
    fake->add_disk(0, 0).sectors = 0x20000000;
    fake->disk(0, 0).bad[0x10203040] = 0x10;
    start();
    queue = disks[0]->open_queue(loop);
    EXPECT_THAT(run({make(read_op, 0x10203040ULL * 512, {memory(0, 512)})}),
                ElementsAre(BlockStatus::media_error));
    EXPECT_THAT(told, Contains(HasSubstr("(IDNF) at LBA 270544960")));
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)})}), ElementsAre(ok)) << "HOB is off again";
}

TEST_F(IdeController, EachOfMergedRequestsGetsItsOwnAnswer) {
    start_one();
    fake->disk(0, 0).bad[9] = 0x40;
    EXPECT_THAT(run({make(read_op, 1 << 20, {memory(0, 512)}), make(read_op, 0, {memory(0, 4096)}),
                     make(read_op, 4096, {memory(0, 4096)}), make(read_op, 8192, {memory(0, 4096)})}),
                ElementsAre(ok, ok, BlockStatus::media_error, ok));
    EXPECT_EQ(data_commands().size(), 5U) << "one, three together, three alone";
}

TEST_F(IdeController, ACableErrorIsTriedAgain) {
    start_one();
    fake->disk(0, 0).crc_errors = 2;
    EXPECT_THAT(run({make(write_op, 0, {memory(0, 512)})}), ElementsAre(ok));
    fake->disk(0, 0).crc_errors = 3;
    EXPECT_THAT(run({make(write_op, 0, {memory(0, 512)})}), ElementsAre(BlockStatus::device_error));
    EXPECT_THAT(told, Contains(HasSubstr("corrupted on the cable (ICRC)")));
}

TEST_F(IdeController, ABusErrorIsTriedAgain) {
    start_one();
    fake->faults(0).bus_errors = 1;
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)})}), ElementsAre(ok));
    EXPECT_THAT(told, Contains(HasSubstr("PCI bus failed")));
}

TEST_F(IdeController, AShortTransferIsNotTakenForAGoodOne) {
    start_one();
    fake->faults(0).short_transfers = 1;
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)})}), ElementsAre(ok));
    EXPECT_EQ(data_commands().size(), 2U);
    EXPECT_THAT(told, Contains(HasSubstr("before all data had moved")));
}

// ---- time-outs and recovery ----

TEST_F(IdeController, ALostInterruptCostsTimeOnly) {
    options.command_timeout = 20ms;
    start_one();
    fake->faults(0).lost_interrupts = 1;
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)})}), ElementsAre(ok));
    EXPECT_THAT(told, ElementsAre(HasSubstr("its interrupt was lost")));
    EXPECT_EQ(data_commands().size(), 1U);
}

TEST_F(IdeController, ADeviceThatHangsOnceIsResetAndAskedAgain) {
    options.command_timeout = 20ms;
    options.write_cache = false;
    start_one();
    fake->faults(0).hangs = 1;
    fill(memory(0, 512), 77);
    EXPECT_THAT(run({make(write_op, 0, {memory(0, 512)}), make(read_op, 0, {memory(512, 512)})}),
                ElementsAre(ok, ok));
    EXPECT_TRUE(std::ranges::equal(memory(0, 512).bytes(), memory(512, 512).bytes()));
    EXPECT_THAT(
        told,
        ElementsAre(HasSubstr("WRITE DMA of 1 sectors at LBA 0 was not finished after 20 ms (status 0x80)"),
                    HasSubstr("works again after a reset")));
    EXPECT_FALSE(fake->disk(0, 0).write_cache) << "settings are made again";
}

TEST_F(IdeController, ADeviceThatHangsAgainAndAgainTimesOut) {
    options.command_timeout = 20ms;
    start_one();
    fake->faults(0).hangs = 2;
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)}), make(read_op, 1 << 20, {memory(0, 512)})}),
                ElementsAre(BlockStatus::timed_out, ok));
}

TEST_F(IdeController, ADeviceThatKeepsRequestingDataIsReset) {
    start_one();
    fake->faults(0).stuck_requests = 1;
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)})}), ElementsAre(ok));
    EXPECT_THAT(told, Contains(HasSubstr("works again after a reset")));
}

TEST_F(IdeController, AHangInsideAMergedCommandCostsNoRequest) {
    options.command_timeout = 20ms;
    start_one();
    const auto requests = {make(read_op, 1 << 20, {memory(0, 512)}), make(read_op, 0, {memory(0, 512)}),
                           make(read_op, 512, {memory(0, 512)})};
    fake->faults(0).hangs = 1;
    EXPECT_THAT(run(requests), ElementsAre(ok, ok, ok));
}

TEST_F(IdeController, ARemovedDeviceEndsEverything) {
    start_one();
    const auto requests = {make(read_op, 0, {memory(0, 512)}), make(read_op, 1 << 20, {memory(0, 512)})};
    const std::vector<BlockRequest*> batch(requests);
    EXPECT_EQ(queue->submit(batch), 2U);
    fake->faults(0).gone = true;
    reap(2);
    for (const BlockRequest* request : batch)
        EXPECT_EQ(request->status, BlockStatus::removed);
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)})}), ElementsAre(BlockStatus::removed));
    EXPECT_THAT(told, Contains(HasSubstr("all ones")));
    EXPECT_EQ(queue->next_reap(Clock::now()), TimePoint::max());
}

TEST_F(IdeController, AnotherDiskAfterAResetIsNotUsed) {
    options.command_timeout = 20ms;
    start_one();
    fake->faults(0).hangs = 1;
    fake->disk(0, 0).serial = "0002";
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)}), make(read_op, 1 << 20, {memory(0, 512)})}),
                ElementsAre(BlockStatus::timed_out, BlockStatus::removed));
    EXPECT_THAT(told, Contains(HasSubstr("another device")));
}

TEST_F(IdeController, ADeviceThatDoesNotComeBackFromAResetEndsEverything) {
    plug();
    fake->add_disk(0, 0);
    ide::EngineOptions engine_options;
    engine_options.limits = {.command = 100ms, .reset = 500ms};
    engine_options.report = options.report;
    const ide::ChannelWindows windows{.command = device().region(RegionIndex::bar0).block<8>(),
                                      .control = device().region(RegionIndex::bar1).block<1>(),
                                      .bus_master = device().region(RegionIndex::bar4).block<8>()};
    ide::ChannelEngine engine(loop, device().arena(), windows, engine_options, "a channel");
    device().set_bus_master(true);
    loop.run(engine.start());
    queue = engine.disks()[0]->open_queue(loop);
    fake->faults(0).hangs = 1;
    fake->faults(0).reset_hangs = true;
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)}), make(read_op, 1 << 20, {memory(0, 512)})}),
                ElementsAre(BlockStatus::timed_out, BlockStatus::removed));
    EXPECT_THAT(told, Contains(HasSubstr("end of software reset on a channel")));
    EXPECT_THAT(run({make(read_op, 0, {memory(0, 512)})}), ElementsAre(BlockStatus::removed));
    queue.reset();
}

// ---- interrupts ----

TEST_F(IdeController, NativeChannelsUseTheirInterrupt) {
    plug({.vendor = 0x1095,
          .device = 0x0646,
          .programming_interface = 0x8f,
          .interrupt_pin = true,
          .latency = 0});
    fake->add_disk(0, 0);
    start();
    queue = disks[0]->open_queue(loop);
    for (std::uint64_t i = 0; i < 20; ++i) {
        BlockRequest* request = make(read_op, i * 1024, {memory(0, 512)});
        EXPECT_EQ(queue->submit({&request, 1}), 1U);
        EXPECT_GT(queue->next_reap(Clock::now()), Clock::now() + 1s) << "nothing is polled for";
        reap(1);
        EXPECT_EQ(request->status, ok);
    }
    EXPECT_GE(fake->unmasks, 20U);
    EXPECT_THAT(run({make(BlockOperation::flush, 0, {})}), ElementsAre(ok));
    EXPECT_THAT(told, IsEmpty());
    shut_down();
}

TEST_F(IdeController, BothChannelsShareTheLine) {
    plug({.vendor = 0x1095,
          .device = 0x0646,
          .programming_interface = 0x8f,
          .interrupt_pin = true,
          .latency = 0});
    fake->add_disk(0, 0);
    fake->add_disk(1, 1);
    start();
    queue = disks[0]->open_queue(loop);
    auto other = disks[1]->open_queue(loop);
    std::vector<BlockRequest*> first{make(read_op, 0, {memory(0, 512)}),
                                     make(read_op, 8192, {memory(0, 512)})};
    std::vector<BlockRequest*> second{make(read_op, 0, {memory(512, 512)}),
                                      make(read_op, 8192, {memory(512, 512)})};
    queue->submit(first);
    other->submit(second);
    reap(2);
    std::swap(queue, other);
    reap(2);
    EXPECT_THAT(told, IsEmpty());
    other.reset();
    shut_down();
}

// ---- awaited requests ----

TEST_F(IdeController, RequestsCanBeAwaited) {
    plug();
    fake->add_disk(0, 0);
    start();
    {
        BlockIo io(*disks[0], loop);
        const auto work = [](BlockIo& disk, DmaSpan out, DmaSpan in) -> Task<BlockStatus> {
            const BlockStatus wrote = co_await disk.write(4096, out);
            if (wrote != BlockStatus::ok)
                co_return wrote;
            const BlockStatus flushed = co_await disk.flush();
            if (flushed != BlockStatus::ok)
                co_return flushed;
            co_return co_await disk.read(4096, in);
        };
        fill(memory(0, 4096), 11);
        EXPECT_EQ(loop.run(work(io, memory(0, 4096), memory(8192, 4096))), ok);
        EXPECT_TRUE(std::ranges::equal(memory(0, 4096).bytes(), memory(8192, 4096).bytes()));
    }
    shut_down();
}

TEST_F(IdeController, AQueueIsOpenedOnceAndOnTheDriversLoop) {
    start_one();
    EXPECT_THROW(disks[0]->open_queue(loop), Error);
    RunLoop other;
    EXPECT_THROW(disks[0]->open_queue(other), Error);
    queue.reset();
    queue = disks[0]->open_queue(loop);
    EXPECT_TRUE(queue);
}

}  // namespace
}  // namespace outboard
