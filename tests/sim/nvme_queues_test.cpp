// Queues of the simulated NVMe controller: wrapping, phases, full completion queues, doorbells and their
// shadows, latency, interrupts.
#include "outboard/sim/region_access.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/sim/nvme_client.hpp"
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using sim::IrqKind;
using sim::Polled;
using sim::nvme::Controller;
using test::ClientQueue;
using test::Command;
using test::NvmeClient;
namespace status = test::status;

class NvmeQueues : public testing::Test {
  protected:
    void start(const sim::nvme::Options& options) {
        model = std::make_unique<Controller>(options);
        client = std::make_unique<NvmeClient>(*model);
        client->enable();
    }
    void SetUp() override { start({.namespaces = {{.size = 4 << 20}}}); }

    Command read() {
        return test::read_blocks(0, 1, NvmeClient::memory_iova + NvmeClient::memory_size - 4096);
    }

    /// Connects eventfds to the first vectors of a kind.
    void connect(IrqKind kind, unsigned count) {
        std::vector<Fd> given;
        eventfds.clear();
        for (unsigned i = 0; i < count; ++i) {
            eventfds.emplace_back(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
            given.emplace_back(::dup(eventfds.back().get()));
        }
        model->interrupts().connect(kind, sim::Interrupts::Event::trigger, 0, given);
    }
    std::uint64_t fired(unsigned vector) const {
        std::uint64_t count = 0;
        return ::read(eventfds[vector].get(), &count, sizeof count) == sizeof count ? count : 0;
    }

    std::unique_ptr<Controller> model;
    std::unique_ptr<NvmeClient> client;
    std::vector<Fd> eventfds;
};

TEST_F(NvmeQueues, WrapWithTheirPhases) {
    for (const unsigned entries : {2U, 3U, 16U}) {
        ClientQueue queue = client->make_queue(entries, entries);
        for (unsigned i = 0; i < 100; ++i)
            EXPECT_EQ(client->run(queue, read()).status(), status::success);
    }
}

TEST_F(NvmeQueues, AreAsDeepAsTheySay) {
    start({.namespaces = {{.size = 4 << 20}}, .queue_entries = 4096});
    ClientQueue queue = client->make_queue(1, 4096);
    for (unsigned round = 0; round < 3; ++round) {
        for (unsigned i = 0; i < 4095; ++i)
            client->put(queue, read());
        client->ring(queue);
        while (model->poll() == Polled::worked) {
        }
        for (unsigned i = 0; i < 4095; ++i) {
            const auto completion = client->reap(queue, i == 4094);
            ASSERT_TRUE(completion);
            EXPECT_EQ(completion->identifier(), static_cast<std::uint16_t>(round * 4095 + i));
        }
        EXPECT_FALSE(client->reap(queue));
    }
}

TEST_F(NvmeQueues, AFullCompletionQueueIsRespected) {
    const std::uint64_t completions = client->page();
    EXPECT_EQ(
        client->run(client->admin(), test::create_completion_queue(1, 4, completions, 0, false)).status(),
        0U);
    std::vector<ClientQueue> queues;
    for (unsigned id = 1; id <= 2; ++id) {
        ClientQueue queue{.id = id, .entries = 16, .submission = client->page(), .completion = completions};
        EXPECT_EQ(
            client->run(client->admin(), test::create_submission_queue(id, 16, queue.submission, 1)).status(),
            0U);
        for (unsigned i = 0; i < 10; ++i)
            client->put(queue, read());
        client->ring(queue);
        queues.push_back(queue);
    }
    ClientQueue shared{.id = 1, .entries = 4, .submission = 0, .completion = completions};
    unsigned total = 0;
    while (total < 20) {
        while (model->poll() == Polled::worked) {
        }
        unsigned now = 0;
        while (const auto completion = client->reap(shared, false))
            ++now;
        ASSERT_EQ(now, std::min(3U, 20 - total)) << "one entry stays free";
        total += now;
        EXPECT_EQ(model->poll(), Polled::nothing);
        client->ring_head(shared);
    }
    EXPECT_EQ(model->poll(), Polled::nothing);
}

TEST_F(NvmeQueues, ManyAtOnce) {
    std::vector<ClientQueue> queues;
    for (unsigned id = 1; id <= 64; ++id)
        queues.push_back(client->make_queue(id, 32));
    for (unsigned round = 0; round < 10; ++round) {
        for (ClientQueue& queue : queues) {
            for (unsigned i = 0; i < queue.id % 31; ++i)
                client->put(queue, read());
            client->ring(queue);
        }
        while (model->poll() == Polled::worked) {
        }
        for (ClientQueue& queue : queues) {
            for (unsigned i = 0; i < queue.id % 31; ++i)
                ASSERT_TRUE(client->reap(queue));
            EXPECT_FALSE(client->reap(queue));
        }
    }
}

TEST_F(NvmeQueues, AnInvalidTailStopsNothing) {
    ClientQueue queue = client->make_queue(1, 8);
    client->put(queue, read());
    client->set(0x1008, 8);
    EXPECT_EQ(model->poll(), Polled::nothing);
    EXPECT_FALSE(client->reap(queue));
    client->ring(queue);
    model->poll();
    EXPECT_TRUE(client->reap(queue));
}

TEST_F(NvmeQueues, ADeletedQueueStartsAtZeroAgain) {
    ClientQueue queue = client->make_queue(1, 8);
    EXPECT_EQ(client->run(queue, read()).status(), 0U);
    EXPECT_EQ(client->run(client->admin(), Command().opcode(0x00).dword(10, 1)).status(), 0U);
    EXPECT_EQ(client->run(client->admin(), Command().opcode(0x04).dword(10, 1)).status(), 0U);
    EXPECT_EQ(client->get(0x1008), 0U);
    EXPECT_EQ(client->get(0x100c), 0U);
    queue = client->make_queue(1, 8);
    EXPECT_EQ(client->run(queue, read()).status(), 0U);
}

TEST_F(NvmeQueues, DoorbellStride) {
    start({.namespaces = {{.size = 4 << 20}}, .queue_pairs = 3, .doorbell_stride = 5});
    client->doorbell_stride = 128;
    ClientQueue queue = client->make_queue(3, 8);
    for (unsigned i = 0; i < 20; ++i)
        EXPECT_EQ(client->run(queue, read()).status(), 0U);
}

// ---- shadow doorbells ----

TEST_F(NvmeQueues, ShadowDoorbells) {
    ClientQueue early = client->make_queue(1, 8);
    EXPECT_EQ(client->run(early, read()).status(), 0U);
    const std::uint64_t shadow = client->page();
    const std::uint64_t events = client->page();
    EXPECT_EQ(client->run(client->admin(), Command().opcode(0x7c).prp(shadow, events)).status(), 0U);
    EXPECT_EQ(model->poll(), Polled::nothing) << "shadows that were never rung change nothing";
    EXPECT_EQ(client->get(0x1c), 1U);

    const auto slot = [&](std::uint64_t table, unsigned index) {
        return reinterpret_cast<std::uint32_t*>(client->memory(table + std::uint64_t{4} * index, 4).data());
    };
    ClientQueue late = client->make_queue(2, 8);  // the admin queue has its doorbells still
    for (ClientQueue* const queue : {&early, &late}) {
        for (unsigned i = 0; i < 20; ++i) {
            client->put(*queue, read());
            EXPECT_EQ(model->poll(), Polled::nothing);
            *slot(shadow, 2 * queue->id) = queue->tail;
            EXPECT_EQ(model->poll(), Polled::worked);
            ASSERT_TRUE(client->reap(*queue, false));
            *slot(shadow, 2 * queue->id + 1) = queue->head;
            EXPECT_EQ(model->poll(), Polled::nothing);
            EXPECT_EQ(*slot(events, 2 * queue->id), queue->tail)
                << "it asks to be rung once it looks less often";
        }
    }
    client->put(late, read());
    client->ring(late);
    EXPECT_EQ(model->poll(), Polled::nothing) << "a doorbell alone counts for nothing";

    client->set(0x14, 0);
    client->enable();
    ClientQueue after = client->make_queue(1, 8);
    EXPECT_EQ(client->run(after, read()).status(), 0U) << "a reset ends the shadows";
}

TEST_F(NvmeQueues, ShadowDoorbellsThatAreUnmapped) {
    ClientQueue queue = client->make_queue(1, 8);
    EXPECT_EQ(client->run(client->admin(), Command().opcode(0x7c).prp(0x1000, 0x2000)).status(), 0U);
    client->put(queue, read());
    client->ring(queue);
    EXPECT_EQ(model->poll(), Polled::nothing);
    EXPECT_GT(model->dma().counts().read_faults, 0U);
    EXPECT_EQ(client->run(client->admin(), test::identify(client->page(), 1)).status(), 0U);
}

// ---- latency ----

TEST_F(NvmeQueues, CommandsTakeTheirTime) {
    start({.namespaces = {{.size = 4 << 20}}, .latency = 5ms});
    ClientQueue queue = client->make_queue(1, 8);
    const TimePoint begin = Clock::now();
    client->put(queue, read());
    client->put(queue, read());
    client->ring(queue);
    EXPECT_EQ(model->poll(), Polled::worked);
    EXPECT_EQ(model->poll(), Polled::nothing);
    EXPECT_FALSE(client->reap(queue));
    const TimePoint due = model->timers().next();
    EXPECT_GE(due, begin + 5ms);
    while (Clock::now() < due) {
    }
    model->timers().run(Clock::now());
    EXPECT_EQ(model->poll(), Polled::worked);
    EXPECT_TRUE(client->reap(queue));
    EXPECT_TRUE(client->reap(queue));
    EXPECT_EQ(model->timers().next(), TimePoint::max());
}

TEST_F(NvmeQueues, CommandsThatTakeTimeAreBounded) {
    start({.namespaces = {{.size = 4 << 20}}, .latency = 1h});
    ClientQueue queue = client->make_queue(1, 8);
    for (unsigned i = 0; i < 20; ++i) {  // a client that does not count
        client->put(queue, read());
        client->ring(queue);
        model->poll();
    }
    EXPECT_EQ(model->poll(), Polled::nothing);
    client->set(0x14, 0);
    EXPECT_EQ(model->timers().next(), TimePoint::max());
}

// ---- interrupts ----

TEST_F(NvmeQueues, MsixInterruptsOnceABatch) {
    connect(IrqKind::msix, 65);
    ClientQueue queue = client->make_queue(1, 64, 3, true);
    ClientQueue silent = client->make_queue(2, 64, 4, false);
    EXPECT_EQ(fired(0), 4U) << "the admin queue's";
    for (unsigned i = 0; i < 10; ++i) {
        client->put(queue, read());
        client->put(silent, read());
    }
    client->ring(queue);
    client->ring(silent);
    model->poll();
    EXPECT_EQ(fired(3), 1U);
    EXPECT_EQ(fired(4), 0U);
    while (client->reap(queue)) {
    }
    client->set(0x0c, 0xffffffff);
    EXPECT_EQ(client->run(queue, read()).status(), 0U);
    EXPECT_EQ(fired(3), 1U) << "the mask register is not for MSI-X";
}

TEST_F(NvmeQueues, MsiInterruptsWithTheMaskRegister) {
    connect(IrqKind::msi, 4);
    ClientQueue queue = client->make_queue(1, 64, 2, true);
    client->put(queue, read());
    client->ring(queue);
    model->poll();
    EXPECT_EQ(fired(2), 1U);
    EXPECT_TRUE(client->reap(queue));
    client->set(0x0c, 1U << 2);
    client->put(queue, read());
    client->ring(queue);
    model->poll();
    EXPECT_EQ(fired(2), 0U);
    client->set(0x10, 1U << 2);
    EXPECT_EQ(fired(2), 1U);
}

TEST_F(NvmeQueues, MsiHasMoreVectorsThanThereAreQueues) {
    start({.namespaces = {{.size = 4 << 20}}, .queue_pairs = 4});
    connect(IrqKind::msi, 8);
    ClientQueue queue = client->make_queue(1, 64, 7, true);
    EXPECT_EQ(client->run(client->admin(), Command().opcode(0x09).dword(10, 8).dword(11, 0x0100)).status(),
              0U);
    EXPECT_EQ(client->run(queue, read()).status(), 0U);
    EXPECT_EQ(fired(7), 1U);
}

TEST_F(NvmeQueues, TheLineIsHighWhileThereAreCompletions) {
    connect(IrqKind::intx, 1);
    ClientQueue queue = client->make_queue(1, 64, 0, true);
    model->poll();
    EXPECT_FALSE(model->interrupts().line());
    static_cast<void>(fired(0));
    model->interrupts().set_masked(IrqKind::intx, 0, false);
    client->put(queue, read());
    client->put(queue, read());
    client->ring(queue);
    model->poll();
    EXPECT_TRUE(model->interrupts().line());
    EXPECT_EQ(fired(0), 1U);
    EXPECT_TRUE(client->reap(queue));
    model->poll();
    EXPECT_TRUE(model->interrupts().line()) << "one is left";
    client->set(0x0c, 1);
    EXPECT_FALSE(model->interrupts().line());
    client->set(0x10, 1);
    EXPECT_TRUE(model->interrupts().line());
    EXPECT_TRUE(client->reap(queue));
    model->poll();
    EXPECT_FALSE(model->interrupts().line());
}

TEST_F(NvmeQueues, CoalescesInterrupts) {
    connect(IrqKind::msix, 65);
    ClientQueue queue = client->make_queue(1, 64, 1, true);
    ClientQueue immediate = client->make_queue(2, 64, 2, true);
    const auto set = [&](std::uint32_t id, std::uint32_t value) {
        EXPECT_EQ(
            client->run(client->admin(), Command().opcode(0x09).dword(10, id).dword(11, value)).status(), 0U);
    };
    set(8, 0x0503);  // four completions, or 500 us
    set(9, 0x10002);
    for (unsigned i = 0; i < 3; ++i)
        EXPECT_EQ(client->run(queue, read()).status(), 0U);
    EXPECT_EQ(fired(1), 0U);
    EXPECT_EQ(client->run(queue, read()).status(), 0U);
    EXPECT_EQ(fired(1), 1U);
    EXPECT_EQ(client->run(immediate, read()).status(), 0U);
    EXPECT_EQ(fired(2), 1U);
    EXPECT_EQ(client->run(queue, read()).status(), 0U);
    EXPECT_EQ(fired(1), 0U);
    model->timers().run(Clock::now() + 1s);
    EXPECT_EQ(fired(1), 1U);
}

}  // namespace
}  // namespace outboard
