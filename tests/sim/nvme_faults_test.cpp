// What a fault plan does to the simulated NVMe controller, seen from the registers and the queues.
#include "outboard/sim/region_access.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/sim/nvme_client.hpp"
#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using sim::FaultKind;
using sim::nvme::Controller;
using test::ClientQueue;
using test::Completion;
using test::NvmeClient;
namespace status = test::status;

constexpr std::uint64_t controller_configuration = 0x14;
constexpr std::uint64_t controller_status = 0x1c;

class NvmeFaults : public testing::Test {
  protected:
    void SetUp() override {
        client.enable();
        queue = client.make_queue(1, 16);
        buffer = client.page();
    }

    void put_read() { client.put(queue, test::read_blocks(0, 8, buffer)); }
    void put_write() { client.put(queue, test::write_blocks(0, 8, buffer)); }
    /// Rings, lets the controller work, and takes all that it says.
    std::vector<Completion> serve() {
        client.ring(queue);
        model.timers().run(Clock::now() + 1h);
        while (model.poll() == sim::Polled::worked) {
        }
        model.timers().run(Clock::now() + 1h);
        std::vector<Completion> all;
        while (const auto completion = client.reap(queue))
            all.push_back(*completion);
        return all;
    }
    std::vector<Completion> read_with(FaultKind kind) {
        model.faults().order(kind);
        put_read();
        return serve();
    }
    bool reads_well() {
        put_read();
        const auto all = serve();
        return all.size() == 1 && all[0].status() == status::success;
    }
    std::ptrdiff_t bytes_with(unsigned char value) const {
        const auto bytes = client.memory(buffer, 4096);
        return std::ranges::count(bytes, static_cast<std::byte>(value));
    }
    /// Writes 0x5a, and reads it over zeroes with a fault on the way.
    std::ptrdiff_t arrived_with(FaultKind kind) {
        std::memset(client.memory(buffer, 4096).data(), 0x5a, 4096);
        put_write();
        serve();
        std::memset(client.memory(buffer, 4096).data(), 0, 4096);
        const auto all = read_with(kind);
        EXPECT_EQ(all.size(), 1U);
        EXPECT_EQ(all.front().status(), status::success);
        return bytes_with(0x5a);
    }

    Controller model{{.namespaces = {{.size = 4 << 20}}}};
    NvmeClient client{model};
    ClientQueue queue;
    std::uint64_t buffer = 0;
};

TEST_F(NvmeFaults, ACompletionIsDropped) {
    EXPECT_TRUE(read_with(FaultKind::completion_drop).empty());
    EXPECT_TRUE(reads_well());
    EXPECT_EQ(model.faults().struck(), 1U);
}

TEST_F(NvmeFaults, ACompletionComesTwice) {
    const auto all = read_with(FaultKind::completion_duplicate);
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].identifier(), all[1].identifier());
    EXPECT_TRUE(reads_well());
}

TEST_F(NvmeFaults, ACompletionComesLate) {
    model.faults().order(FaultKind::completion_delay);
    put_read();
    put_read();
    const auto all = serve();
    ASSERT_EQ(all.size(), 2U);
    EXPECT_LT(all[1].identifier(), all[0].identifier());
}

TEST_F(NvmeFaults, ALateCompletionIsForgottenByAReset) {
    model.faults().order(FaultKind::completion_delay);
    put_read();
    client.ring(queue);
    model.poll();
    client.set(controller_configuration, 0);
    model.timers().run(Clock::now() + 1h);
    EXPECT_FALSE(client.reap(queue));
}

TEST_F(NvmeFaults, TheIdentifierIsAnother) {
    put_read();
    model.faults().order(FaultKind::wrong_identifier);
    const auto all = serve();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_NE(all[0].identifier(), queue.next_identifier - 1U);
}

TEST_F(NvmeFaults, TheHeadLiesOutsideTheQueue) {
    const auto all = read_with(FaultKind::wrong_head);
    ASSERT_EQ(all.size(), 1U);
    EXPECT_GE(all[0].head(), queue.entries);
}

TEST_F(NvmeFaults, AnEntryWithTheWrongPhaseIsNotSeen) {
    EXPECT_TRUE(read_with(FaultKind::wrong_phase).empty());
    // Nor what comes after it.
    put_read();
    EXPECT_TRUE(serve().empty());
}

TEST_F(NvmeFaults, ACommandFailsAndTheNextDoesNot) {
    const auto all = read_with(FaultKind::status_error);
    ASSERT_EQ(all.size(), 1U);
    EXPECT_NE(all[0].status(), status::success);
    EXPECT_TRUE(reads_well());
}

TEST_F(NvmeFaults, DataArriveInPart) {
    EXPECT_LT(arrived_with(FaultKind::dma_short), 4096);
    EXPECT_LT(arrived_with(FaultKind::data_torn), 4096);
}

TEST_F(NvmeFaults, DataDoNotArrive) {
    EXPECT_EQ(arrived_with(FaultKind::data_stale), 0);
    EXPECT_EQ(arrived_with(FaultKind::dma_misplaced), 0);
}

TEST_F(NvmeFaults, AnIgnoredDoorbellWaitsForTheNextOne) {
    EXPECT_TRUE(read_with(FaultKind::doorbell_ignored).empty());
    put_read();
    EXPECT_EQ(serve().size(), 2U);
}

TEST_F(NvmeFaults, ItHangsUntilItIsReset) {
    EXPECT_TRUE(read_with(FaultKind::never_ready).empty());
    put_read();
    EXPECT_TRUE(serve().empty());
    client.set(controller_configuration, 0);
    client.enable();
    queue = client.make_queue(1, 16);
    EXPECT_TRUE(reads_well());
}

TEST_F(NvmeFaults, AResetDoesNotBringItBack) {
    const std::uint32_t configuration = client.get(controller_configuration);
    client.set(controller_configuration, 0);
    model.faults().order(FaultKind::reset_failure);
    client.set(controller_configuration, configuration);
    EXPECT_EQ(client.get(controller_status) & 1U, 0U);
    client.set(controller_configuration, 0);
    client.enable();
}

TEST_F(NvmeFaults, ItIsPulledOut) {
    EXPECT_TRUE(read_with(FaultKind::all_ones).empty());
    EXPECT_EQ(client.get(controller_status), 0xffffffffU);
    put_read();
    EXPECT_TRUE(serve().empty());
}

TEST_F(NvmeFaults, QueueMemoryIsOverwritten) {
    const auto before = client.memory(queue.completion, std::size_t{16} * queue.entries);
    const std::vector<std::byte> copy(before.begin(), before.end());
    model.faults().order(FaultKind::queue_overwrite);
    put_read();
    client.ring(queue);
    model.poll();
    const auto after = client.memory(queue.completion, std::size_t{16} * queue.entries);
    // The completion itself, and garbage behind it.
    EXPECT_FALSE(std::ranges::equal(after.subspan(16, 16), std::span(copy).subspan(16, 16)));
}

}  // namespace
}  // namespace outboard
