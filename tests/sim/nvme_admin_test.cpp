// Admin commands of the simulated NVMe controller, one by one and with all that can be wrong with them.
#include <chrono>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>

#include "tests/sim/nvme_client.hpp"
#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using sim::nvme::Controller;
using test::ClientQueue;
using test::Command;
using test::Completion;
using test::NvmeClient;
namespace status = test::status;

class NvmeAdmin : public testing::Test {
  protected:
    void start(const sim::nvme::Options& options) {
        model = std::make_unique<Controller>(options);
        client = std::make_unique<NvmeClient>(*model);
        client->enable();
    }
    void SetUp() override {
        start(
            {.namespaces = {{.size = 1 << 20, .write_cache = 1 << 20}, {.size = 8 << 20, .block_size = 4096}},
             .serial = "S123",
             .queue_pairs = 4});
    }

    Completion run(const Command& command) { return client->run(client->admin(), command); }
    unsigned status_of(const Command& command) { return run(command).status(); }
    template <class T>
    T at(std::uint64_t iova) {
        T value;
        std::memcpy(&value, client->memory(iova, sizeof value).data(), sizeof value);
        return value;
    }
    std::string text(std::uint64_t iova, std::size_t size) {
        return {reinterpret_cast<const char*>(client->memory(iova, size).data()), size};
    }

    static Command get_feature(std::uint8_t id, std::uint32_t dword11 = 0, unsigned select = 0) {
        return Command().opcode(0x0a).dword(10, id | select << 8).dword(11, dword11);
    }
    static Command set_feature(std::uint8_t id, std::uint32_t dword11) {
        return Command().opcode(0x09).dword(10, id).dword(11, dword11);
    }
    static Command get_log(std::uint8_t id, std::uint64_t page, std::uint32_t bytes,
                           std::uint32_t offset = 0) {
        return Command()
            .opcode(0x02)
            .nsid(0xffffffff)
            .prp(page)
            .dword(10, id | (bytes / 4 - 1) << 16)
            .dword(12, offset);
    }

    std::unique_ptr<Controller> model;
    std::unique_ptr<NvmeClient> client;
};

// ---- Identify ----

TEST_F(NvmeAdmin, IdentifiesTheController) {
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(test::identify(page, 1)), status::success);
    EXPECT_EQ(text(page + 4, 20), "S123                ");
    EXPECT_EQ(text(page + 24, 10), "Outboard s");
    EXPECT_EQ(at<std::uint8_t>(page + 77), 7U) << "MDTS: 512 KiB";
    EXPECT_EQ(at<std::uint32_t>(page + 80), 0x00010400U);
    EXPECT_EQ(at<std::uint16_t>(page + 256), 0x100U) << "OACS";
    EXPECT_EQ(at<std::uint8_t>(page + 512), 0x66U);
    EXPECT_EQ(at<std::uint8_t>(page + 513), 0x44U);
    EXPECT_EQ(at<std::uint32_t>(page + 516), 2U) << "NN";
    EXPECT_EQ(at<std::uint16_t>(page + 520), 0x1dU) << "ONCS";
    EXPECT_EQ(at<std::uint8_t>(page + 525), 0x7U) << "VWC";
    EXPECT_EQ(at<std::uint32_t>(page + 536), 0U) << "SGLS";
    EXPECT_EQ(text(page + 768, 20), "nqn.2014-08.org.nvme");
}

TEST_F(NvmeAdmin, IdentifyTakesAnyDwordOffset) {
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(test::identify(0, 1).prp(page + 0xf04, page + 0x3000)), status::success);
    EXPECT_EQ(text(page + 0xf04 + 4, 4), "S123");
    EXPECT_EQ(at<std::uint8_t>(page + 0x3000 + 512 - 0xfc), 0x66U);
    EXPECT_EQ(status_of(test::identify(0, 1).prp(page + 0xf04, page + 0x3004)), status::invalid_prp_offset);
    EXPECT_EQ(status_of(test::identify(0, 1).prp(page + 2)), status::invalid_prp_offset);
    EXPECT_EQ(status_of(test::identify(page, 1).flags(0x40)), status::invalid_field) << "SGL";
    EXPECT_EQ(status_of(test::identify(page, 1).flags(0x01)), status::invalid_field) << "fused";
}

TEST_F(NvmeAdmin, IdentifyIntoWhatIsNotMapped) {
    const Completion completion = run(test::identify(0xdead0000, 1));
    EXPECT_EQ(completion.status(), status::data_transfer_error);
    EXPECT_FALSE(completion.do_not_retry());
    EXPECT_EQ(model->dma().counts().write_faults, 1U);
}

TEST_F(NvmeAdmin, IdentifiesNamespaces) {
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(test::identify(page, 0, 1)), status::success);
    EXPECT_EQ(at<std::uint64_t>(page), 2048U);
    EXPECT_EQ(at<std::uint32_t>(page + 128), 9U << 16);
    const auto eui = at<std::uint64_t>(page + 120);
    EXPECT_EQ(status_of(test::identify(page, 0, 2)), status::success);
    EXPECT_EQ(at<std::uint64_t>(page), 2048U);
    EXPECT_EQ(at<std::uint32_t>(page + 128), 12U << 16);
    EXPECT_NE(at<std::uint64_t>(page + 120), eui);
    for (const std::uint32_t nsid : {0U, 3U, 0xffffffffU}) {
        EXPECT_EQ(status_of(test::identify(page, 0, nsid)), status::invalid_namespace);
        EXPECT_EQ(status_of(test::identify(page, 3, nsid)), status::invalid_namespace);
    }
    EXPECT_EQ(status_of(test::identify(page, 0x20)), status::invalid_field);
}

TEST_F(NvmeAdmin, ListsNamespaces) {
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(test::identify(page, 2, 0)), status::success);
    EXPECT_EQ(at<std::uint32_t>(page), 1U);
    EXPECT_EQ(at<std::uint32_t>(page + 4), 2U);
    EXPECT_EQ(at<std::uint32_t>(page + 8), 0U);
    EXPECT_EQ(status_of(test::identify(page, 2, 1)), status::success);
    EXPECT_EQ(at<std::uint32_t>(page), 2U);
    EXPECT_EQ(at<std::uint32_t>(page + 4), 0U);
    EXPECT_EQ(status_of(test::identify(page, 2, 0xfffffffe)), status::invalid_namespace);
    EXPECT_EQ(status_of(test::identify(page, 3, 1)), status::success);
    EXPECT_EQ(at<std::uint16_t>(page), 0x0801U) << "8 bytes of EUI-64";
    EXPECT_EQ(at<std::uint16_t>(page + 12), 0x1002U) << "16 bytes of NGUID";
    EXPECT_EQ(at<std::uint32_t>(page + 32), 0U);
}

TEST_F(NvmeAdmin, RefusesUnknownCommands) {
    for (const std::uint8_t opcode :
         std::initializer_list<std::uint8_t>{0x0d, 0x10, 0x11, 0x14, 0x15, 0x18, 0x80, 0x84, 0xff})
        EXPECT_EQ(status_of(Command().opcode(opcode)), status::invalid_opcode) << unsigned{opcode};
    EXPECT_TRUE(run(Command().opcode(0x80)).do_not_retry());
}

// ---- queues ----

TEST_F(NvmeAdmin, CreatesCompletionQueuesWithCare) {
    const std::uint64_t place = client->allocate(1 << 16);
    EXPECT_EQ(status_of(test::create_completion_queue(0, 16, place, 0, false)), status::invalid_queue);
    EXPECT_EQ(status_of(test::create_completion_queue(5, 16, place, 0, false)), status::invalid_queue);
    EXPECT_EQ(status_of(test::create_completion_queue(1, 1, place, 0, false)), status::invalid_queue_size);
    EXPECT_EQ(status_of(test::create_completion_queue(1, 1025, place, 0, false)), status::invalid_queue_size);
    EXPECT_EQ(status_of(test::create_completion_queue(1, 16, place + 64, 0, false)),
              status::invalid_prp_offset);
    EXPECT_EQ(status_of(test::create_completion_queue(1, 16, place, 1, true)), status::invalid_vector);
    EXPECT_EQ(status_of(test::create_completion_queue(1, 16, place, 0, false).dword(11, 0)),
              status::invalid_field);
    EXPECT_EQ(status_of(test::create_completion_queue(1, 1024, place, 0, false)), status::success);
    EXPECT_EQ(status_of(test::create_completion_queue(1, 16, place, 0, false)), status::invalid_queue);
    model->config().enable_msix();
    EXPECT_EQ(status_of(test::create_completion_queue(2, 16, place, 4, true)), status::success);
    EXPECT_EQ(status_of(test::create_completion_queue(3, 16, place, 5, true)), status::invalid_vector);
}

TEST_F(NvmeAdmin, CreatesSubmissionQueuesWithCare) {
    const std::uint64_t place = client->allocate(1 << 16);
    EXPECT_EQ(status_of(test::create_completion_queue(1, 16, place, 0, false)), status::success);
    EXPECT_EQ(status_of(test::create_submission_queue(0, 16, place, 1)), status::invalid_queue);
    EXPECT_EQ(status_of(test::create_submission_queue(5, 16, place, 1)), status::invalid_queue);
    EXPECT_EQ(status_of(test::create_submission_queue(1, 16, place, 0)), status::invalid_queue);
    EXPECT_EQ(status_of(test::create_submission_queue(1, 16, place, 5)), status::invalid_queue);
    EXPECT_EQ(status_of(test::create_submission_queue(1, 16, place, 2)), status::invalid_completion_queue);
    EXPECT_EQ(status_of(test::create_submission_queue(1, 1, place, 1)), status::invalid_queue_size);
    EXPECT_EQ(status_of(test::create_submission_queue(1, 16, place + 4, 1)), status::invalid_prp_offset);
    EXPECT_EQ(status_of(test::create_submission_queue(1, 16, place, 1).dword(11, 1 << 16)),
              status::invalid_field);
    EXPECT_EQ(status_of(test::create_submission_queue(1, 16, place, 1)), status::success);
    EXPECT_EQ(status_of(test::create_submission_queue(1, 16, place, 1)), status::invalid_queue);
    EXPECT_EQ(status_of(test::create_submission_queue(2, 16, place, 1)), status::success)
        << "shares the other's end";
}

TEST_F(NvmeAdmin, QueuesNeedTheEntrySizes) {
    client->set(0x14, 1);
    EXPECT_EQ(status_of(test::create_completion_queue(1, 16, client->page(), 0, false)),
              status::invalid_queue_size);
}

TEST_F(NvmeAdmin, DeletesQueuesInOrder) {
    static_cast<void>(client->make_queue(1, 16));
    const auto remove = [](std::uint8_t opcode, unsigned id) {
        return Command().opcode(opcode).dword(10, id);
    };
    EXPECT_EQ(status_of(remove(0x04, 1)), status::invalid_deletion) << "its submission queue is still there";
    EXPECT_EQ(status_of(remove(0x04, 0)), status::invalid_queue);
    EXPECT_EQ(status_of(remove(0x04, 2)), status::invalid_queue);
    EXPECT_EQ(status_of(remove(0x00, 0)), status::invalid_queue);
    EXPECT_EQ(status_of(remove(0x00, 2)), status::invalid_queue);
    EXPECT_EQ(status_of(remove(0x00, 1)), status::success);
    EXPECT_EQ(status_of(remove(0x00, 1)), status::invalid_queue);
    EXPECT_EQ(status_of(remove(0x04, 1)), status::success);
    EXPECT_EQ(status_of(remove(0x04, 1)), status::invalid_queue);
    static_cast<void>(client->make_queue(1, 16));
}

// ---- features ----

TEST_F(NvmeAdmin, NegotiatesTheNumberOfQueues) {
    EXPECT_EQ(run(get_feature(7)).result(), 0x00030003U);
    EXPECT_EQ(run(set_feature(7, 0x00640001)).result(), 0x00030001U);
    EXPECT_EQ(run(get_feature(7)).result(), 0x00030001U);
    EXPECT_EQ(run(get_feature(7, 0, 1)).result(), 0x00030003U) << "the default";
    EXPECT_EQ(status_of(set_feature(7, 0xffff0001)), status::invalid_field);
    EXPECT_EQ(status_of(set_feature(7, 0x0001ffff)), status::invalid_field);
    const std::uint64_t place = client->page();
    EXPECT_EQ(status_of(test::create_completion_queue(3, 16, place, 0, false)), status::success);
    EXPECT_EQ(status_of(test::create_submission_queue(3, 16, place, 3)), status::invalid_queue);
    EXPECT_EQ(status_of(set_feature(7, 0x00030003)), status::sequence_error);
}

TEST_F(NvmeAdmin, KeepsFeatures) {
    EXPECT_EQ(run(get_feature(6)).result(), 1U);
    EXPECT_EQ(status_of(set_feature(6, 0)), status::success);
    EXPECT_EQ(run(get_feature(6)).result(), 0U);
    EXPECT_EQ(run(get_feature(6, 0, 1)).result(), 1U);
    EXPECT_EQ(run(get_feature(6, 0, 3)).result(), 0x4U) << "changeable, not saveable";
    EXPECT_EQ(run(get_feature(4)).result(), 343U);
    EXPECT_EQ(run(get_feature(4, 1 << 20)).result(), 0U);
    EXPECT_EQ(status_of(set_feature(8, 0x0305)), status::success);
    EXPECT_EQ(run(get_feature(8)).result(), 0x0305U);
    EXPECT_EQ(status_of(set_feature(9, 0x10003)), status::success);
    EXPECT_EQ(run(get_feature(9, 3)).result(), 0x10003U);
    EXPECT_EQ(run(get_feature(9, 2)).result(), 2U);
    EXPECT_EQ(status_of(set_feature(9, 5)), status::invalid_field);
    EXPECT_EQ(status_of(set_feature(0x0b, 0x2)), status::success);
    EXPECT_EQ(run(get_feature(0x0b)).result(), 2U);
    EXPECT_EQ(status_of(set_feature(2, 0)), status::success);
    EXPECT_EQ(status_of(set_feature(2, 1)), status::invalid_field) << "one power state";
    EXPECT_EQ(run(set_feature(5, 7).nsid(2)).status(), status::success);
    EXPECT_EQ(run(get_feature(5).nsid(2)).result(), 7U);
    EXPECT_EQ(run(get_feature(5).nsid(1)).result(), 0U);
    EXPECT_EQ(run(get_feature(5).nsid(3)).status(), status::invalid_namespace);
    EXPECT_EQ(run(set_feature(6, 0).nsid(1)).status(), status::not_of_a_namespace);
    EXPECT_EQ(status_of(set_feature(6, 0).dword(10, 0x80000006)), status::not_saveable);
    EXPECT_EQ(status_of(get_feature(0x0c)), status::invalid_field);
    EXPECT_EQ(status_of(set_feature(0x7f, 0)), status::invalid_field);
    EXPECT_EQ(status_of(get_feature(6, 0, 4)), status::invalid_field);

    client->set(0x14, 0);
    client->enable();
    EXPECT_EQ(run(get_feature(6)).result(), 1U) << "a reset brings the defaults back";
    EXPECT_EQ(run(get_feature(8)).result(), 0U);
    EXPECT_EQ(run(get_feature(5).nsid(2)).result(), 0U);
}

TEST_F(NvmeAdmin, WithoutAWriteCacheThereIsNoSuchFeature) {
    start({.namespaces = {{.size = 1 << 20}}});
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(get_feature(6)), status::invalid_field);
    EXPECT_EQ(status_of(set_feature(6, 1)), status::invalid_field);
    EXPECT_EQ(status_of(test::identify(page, 1)), status::success);
    EXPECT_EQ(at<std::uint8_t>(page + 525) & 1U, 0U);
}

// ---- log pages ----

TEST_F(NvmeAdmin, LogsErrors) {
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(Command().opcode(0xc0)), status::invalid_opcode);
    const unsigned identifier = run(test::identify(page, 0, 9)).identifier();
    EXPECT_EQ(status_of(get_log(1, page, 4096)), status::success);
    EXPECT_EQ(at<std::uint64_t>(page), 2U);
    EXPECT_EQ(at<std::uint16_t>(page + 8), 0U);
    EXPECT_EQ(at<std::uint16_t>(page + 10), identifier);
    EXPECT_EQ(at<std::uint16_t>(page + 12) >> 1 & 0x7ff, status::invalid_namespace);
    EXPECT_EQ(at<std::uint32_t>(page + 24), 9U);
    EXPECT_EQ(at<std::uint64_t>(page + 64), 1U);
    EXPECT_EQ(at<std::uint64_t>(page + 128), 0U);
}

TEST_F(NvmeAdmin, LogsHealth) {
    const std::uint64_t page = client->page();
    ClientQueue queue = client->make_queue(1, 16);
    EXPECT_EQ(client->run(queue, test::read_blocks(0, 8, client->page())).status(), status::success);
    EXPECT_EQ(status_of(get_log(2, page, 512)), status::success);
    EXPECT_EQ(at<std::uint8_t>(page), 0U);
    EXPECT_EQ(at<std::uint16_t>(page + 1), 313U);
    EXPECT_EQ(at<std::uint64_t>(page + 32), 1U) << "thousands of 512 bytes, rounded up";
    EXPECT_EQ(at<std::uint64_t>(page + 64), 1U);
    EXPECT_EQ(status_of(get_log(2, page, 4, 64)), status::success) << "a part";
    EXPECT_EQ(at<std::uint32_t>(page), 1U);
    EXPECT_EQ(status_of(get_log(3, page, 512)), status::success);
    EXPECT_EQ(at<std::uint8_t>(page), 1U);
    EXPECT_EQ(text(page + 8, 4), "1.0 ");
}

TEST_F(NvmeAdmin, RefusesLogPages) {
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(get_log(0x70, page, 512)), status::invalid_log_page);
    EXPECT_EQ(status_of(get_log(2, page, 512, 2)), status::invalid_field);
    EXPECT_EQ(status_of(get_log(2, page, 512, 516)), status::invalid_field);
    EXPECT_EQ(status_of(get_log(2, page, 512).nsid(1)), status::invalid_field);
    EXPECT_EQ(status_of(get_log(2, page, 4).dword(11, 0xffff)), status::invalid_field) << "gigabytes";
}

// ---- events and aborts ----

TEST_F(NvmeAdmin, ReportsInvalidDoorbells) {
    const std::uint64_t page = client->page();
    const std::uint16_t request = client->put(client->admin(), Command().opcode(0x0c));
    client->ring(client->admin());
    model->poll();
    EXPECT_FALSE(client->reap(client->admin()));
    client->set(0x1000, 16);  // beyond the admin queue
    model->poll();
    const auto event = client->reap(client->admin());
    ASSERT_TRUE(event);
    EXPECT_EQ(event->identifier(), request);
    EXPECT_EQ(event->status(), status::success);
    EXPECT_EQ(event->result(), 0x010100U) << "error, invalid doorbell value, error log";
    client->ring(client->admin());
    model->poll();

    // No other of the kind until the log was read.
    client->put(client->admin(), Command().opcode(0x0c));
    client->ring(client->admin());
    client->set(0x1000 + 8 * 3, 7);  // a queue that does not exist
    for (int i = 0; i < 3000; ++i)
        model->poll();
    EXPECT_FALSE(client->reap(client->admin()));
    EXPECT_EQ(status_of(get_log(1, page, 64)), status::success);
    client->set(0x1000 + 8 * 3, 7);
    for (int i = 0; i < 3000; ++i)
        model->poll();
    const auto second = client->reap(client->admin());
    ASSERT_TRUE(second);
    EXPECT_EQ(second->result(), 0x010000U) << "error, invalid doorbell register, error log";
}

TEST_F(NvmeAdmin, ReportsHeadsBeyondTheTail) {
    client->put(client->admin(), Command().opcode(0x0c));
    client->ring(client->admin());
    model->poll();
    client->set(0x1004, 5);  // nothing was posted
    model->poll();
    const auto event = client->reap(client->admin(), false);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->result(), 0x010100U);
}

TEST_F(NvmeAdmin, ReportsTemperature) {
    client->put(client->admin(), Command().opcode(0x0c));
    client->ring(client->admin());
    model->poll();
    EXPECT_EQ(status_of(set_feature(4, 300)), status::success) << "nobody wants the event yet";
    client->put(client->admin(), set_feature(0x0b, 0x2));
    client->ring(client->admin());
    for (int i = 0; i < 3; ++i)
        model->poll();
    EXPECT_EQ(client->reap(client->admin())->status(), status::success);
    const auto event = client->reap(client->admin());
    ASSERT_TRUE(event);
    EXPECT_EQ(event->result(), 0x020101U);
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(get_log(2, page, 512)), status::success);
    EXPECT_EQ(at<std::uint8_t>(page), 2U);
}

TEST_F(NvmeAdmin, LimitsEventRequests) {
    for (int i = 0; i < 8; ++i)
        client->put(client->admin(), Command().opcode(0x0c));
    client->ring(client->admin());
    for (int i = 0; i < 9; ++i)
        model->poll();
    EXPECT_FALSE(client->reap(client->admin()));
    EXPECT_EQ(status_of(Command().opcode(0x0c)), status::too_many_event_requests);
}

TEST_F(NvmeAdmin, AbortsEventRequests) {
    const std::uint16_t request = client->put(client->admin(), Command().opcode(0x0c));
    client->ring(client->admin());
    model->poll();
    const auto abort = [&](unsigned queue, unsigned identifier) {
        return Command().opcode(0x08).dword(10, identifier << 16 | queue);
    };
    EXPECT_EQ(run(abort(0, request + 100U)).result(), 1U);
    EXPECT_EQ(run(abort(7, request)).result(), 1U);
    EXPECT_EQ(run(abort(0, request)).result(), 0U);
    model->poll();
    const auto ended = client->reap(client->admin());
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->identifier(), request);
    EXPECT_EQ(ended->status(), status::aborted);
}

TEST_F(NvmeAdmin, AbortsDelayedCommands) {
    start({.namespaces = {{.size = 1 << 20}}, .queue_pairs = 2, .latency = 1h});
    ClientQueue queue = client->make_queue(1, 8);
    const std::uint64_t page = client->page();
    const std::uint16_t first = client->put(queue, test::read_blocks(0, 1, page));
    const std::uint16_t second = client->put(queue, test::read_blocks(1, 1, page));
    client->ring(queue);
    model->poll();
    EXPECT_FALSE(client->reap(queue));
    EXPECT_EQ(run(Command().opcode(0x08).dword(10, std::uint32_t{first} << 16 | 1)).result(), 0U);
    const auto aborted = client->reap(queue);
    ASSERT_TRUE(aborted);
    EXPECT_EQ(aborted->identifier(), first);
    EXPECT_EQ(aborted->status(), status::aborted);
    EXPECT_EQ(run(Command().opcode(0x00).dword(10, 1)).status(), status::success);
    const auto deleted = client->reap(queue);
    ASSERT_TRUE(deleted);
    EXPECT_EQ(deleted->identifier(), second);
    EXPECT_EQ(deleted->status(), status::aborted_queue_deletion);
}

TEST_F(NvmeAdmin, RefusesShadowDoorbellsThatDoNotFit) {
    const std::uint64_t page = client->page();
    EXPECT_EQ(status_of(Command().opcode(0x7c).prp(page + 8, page)), status::invalid_field);
    EXPECT_EQ(status_of(Command().opcode(0x7c).prp(page, page + 8)), status::invalid_field);
    start({.namespaces = {{.size = 1 << 20}}, .queue_pairs = 64, .doorbell_stride = 10});
    client->doorbell_stride = 4096;
    EXPECT_EQ(status_of(Command().opcode(0x7c).prp(client->page(), client->page())), status::invalid_opcode);
}

}  // namespace
}  // namespace outboard
