// The registers of the simulated NVMe controller: what it can do, enabling, disabling, shutdown, resets.
#include "outboard/base/error.hpp"

#include <chrono>

#include "tests/sim/nvme_client.hpp"
#include "tests/support/expect_error.hpp"
#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using sim::Polled;
using sim::nvme::Controller;
using test::NvmeClient;

constexpr std::uint64_t cc = 0x14;
constexpr std::uint64_t csts = 0x1c;
constexpr std::uint32_t cc_enable = 0x00460001;

sim::nvme::Options options() {
    return {.namespaces = {{.size = 1 << 20}}, .queue_pairs = 4};
}

TEST(NvmeRegisters, SayWhatItCanDo) {
    Controller model(options());
    const NvmeClient client(model);
    const std::uint64_t cap = client.get64(0);
    EXPECT_EQ(cap & 0xffff, 1023U) << "MQES";
    EXPECT_EQ(cap >> 16 & 1, 1U) << "CQR";
    EXPECT_GT(cap >> 24 & 0xff, 0U) << "TO";
    EXPECT_EQ(cap >> 32 & 0xf, 0U) << "DSTRD";
    EXPECT_EQ(cap >> 36 & 1, 1U) << "NSSRS";
    EXPECT_EQ(cap >> 37 & 0xff, 1U) << "CSS";
    EXPECT_EQ(cap >> 48 & 0xf, 0U) << "MPSMIN";
    EXPECT_EQ(cap >> 52 & 0xf, 4U) << "MPSMAX";
    EXPECT_EQ(client.get(4), cap >> 32) << "either half";
    EXPECT_EQ(client.get(8), 0x00010400U);
    EXPECT_EQ(client.get(cc), 0U);
    EXPECT_EQ(client.get(csts), 0U);
    EXPECT_EQ(client.get(0xf00), 0U);
    EXPECT_EQ(model.config().get(0x08, 4) >> 8, 0x010802U) << "class";
}

TEST(NvmeRegisters, TheSlowestAnswerIsInItsTimeout) {
    auto slow = options();
    slow.ready_time = 3s;
    Controller model(slow);
    EXPECT_GE(NvmeClient(model).get64(0) >> 24 & 0xff, 6U);
}

TEST(NvmeRegisters, KeepWhatIsWritten) {
    Controller model(options());
    const NvmeClient client(model);
    client.set(0x24, 0xffffffff);
    EXPECT_EQ(client.get(0x24), 0x0fff0fffU);
    client.set64(0x28, 0x123456789abcdfff);
    EXPECT_EQ(client.get64(0x28), 0x123456789abcd000U);
    client.set(0x34, 0x12345678);
    client.set(0x30, 0xffffffff);
    EXPECT_EQ(client.get64(0x30), 0x12345678fffff000U);
    client.set(0x0c, 0x5);
    client.set(0x0c, 0x80);
    client.set(0x10, 0x4);
    EXPECT_EQ(client.get(0x0c), 0x81U);
    EXPECT_EQ(client.get(0x10), 0x81U);
}

TEST(NvmeRegisters, EnableAndDisable) {
    Controller model(options());
    NvmeClient client(model);
    EXPECT_EQ(model.poll(), Polled::asleep);
    client.enable();
    EXPECT_EQ(model.poll(), Polled::nothing);
    client.set(cc, cc_enable & ~1U);
    EXPECT_EQ(client.get(csts), 0U);
    EXPECT_EQ(client.get(0x24), 0x000f000fU) << "the admin queue's registers stay";
    EXPECT_EQ(model.poll(), Polled::asleep);
    client.set(cc, cc_enable);
    EXPECT_EQ(client.get(csts), 1U);
}

TEST(NvmeRegisters, ReadyTakesItsTime) {
    auto slow = options();
    slow.ready_time = 10ms;
    Controller model(slow);
    const NvmeClient client(model);
    client.set(0x24, 0x000f000f);
    client.set64(0x28, NvmeClient::memory_iova);
    client.set64(0x30, NvmeClient::memory_iova + 4096);
    const TimePoint start = Clock::now();
    client.set(cc, cc_enable);
    EXPECT_EQ(client.get(csts), 0U);
    EXPECT_EQ(model.poll(), Polled::asleep);
    ASSERT_GE(model.timers().next(), start + 10ms);
    model.timers().run(model.timers().next());
    EXPECT_EQ(client.get(csts), 1U);
    client.set(cc, 0);
    EXPECT_EQ(client.get(csts), 1U) << "not yet";
    EXPECT_EQ(model.poll(), Polled::asleep);
    model.timers().run(model.timers().next());
    EXPECT_EQ(client.get(csts), 0U);
}

TEST(NvmeRegisters, DisabledBeforeItIsReady) {
    auto slow = options();
    slow.ready_time = 10ms;
    Controller model(slow);
    const NvmeClient client(model);
    client.set(0x24, 0x000f000f);
    client.set(cc, cc_enable);
    client.set(cc, 0);
    model.timers().run(Clock::now() + 1s);
    EXPECT_EQ(client.get(csts), 0U);
}

TEST(NvmeRegisters, ABrokenConfigurationIsFatal) {
    struct Broken {
        const char* name;
        std::uint32_t attributes;
        std::uint64_t submission;
        std::uint64_t completion;
        std::uint32_t configuration;
    };
    constexpr std::uint64_t place = NvmeClient::memory_iova;
    for (const Broken& broken : {Broken{"queues of one entry", 0x000f0000, place, place, cc_enable},
                                 Broken{"queues of one entry", 0x0000000f, place, place, cc_enable},
                                 Broken{"page size", 0x000f000f, place, place, cc_enable | 5U << 7},
                                 Broken{"page offset", 0x000f000f, place + 4096, place, cc_enable | 1U << 7},
                                 Broken{"command set", 0x000f000f, place, place, cc_enable | 1U << 4},
                                 Broken{"arbitration", 0x000f000f, place, place, cc_enable | 1U << 11}}) {
        Controller model(options());
        const NvmeClient client(model);
        client.set(0x24, broken.attributes);
        client.set64(0x28, broken.submission);
        client.set64(0x30, broken.completion);
        client.set(cc, broken.configuration);
        EXPECT_EQ(client.get(csts), 2U) << broken.name;
        EXPECT_EQ(model.poll(), Polled::asleep);
        client.set(cc, 0);
        EXPECT_EQ(client.get(csts), 0U);
    }
}

TEST(NvmeRegisters, QueuesThatCannotBeReachedAreFatal) {
    Controller model(options());
    NvmeClient client(model);
    client.enable();
    client.set(cc, 0);
    client.set64(0x28, 0xdead0000);
    client.set(cc, cc_enable);
    client.set(0x1000, 1);
    EXPECT_EQ(model.poll(), Polled::asleep);
    EXPECT_EQ(client.get(csts), 3U);
    client.set(cc, 0);
    EXPECT_EQ(client.get(csts), 0U);

    client.set64(0x28, client.admin().submission);
    client.set64(0x30, 0xdead0000);
    client.set(cc, cc_enable);
    client.admin().tail = 0;
    client.put(client.admin(), test::identify(client.page(), 1));
    client.ring(client.admin());
    model.poll();
    EXPECT_EQ(client.get(csts), 3U);
}

TEST(NvmeRegisters, BusMasteringOffIsFatalOnlyWhenThereIsWork) {
    Controller model(options());
    NvmeClient client(model);
    client.enable();
    client.set_command_register(0x2);
    EXPECT_EQ(model.poll(), Polled::nothing);
    client.put(client.admin(), test::identify(client.page(), 1));
    client.ring(client.admin());
    EXPECT_EQ(model.poll(), Polled::asleep);
    EXPECT_EQ(client.get(csts), 3U);
}

TEST(NvmeRegisters, Shutdown) {
    for (const std::uint32_t request : {1U, 2U}) {
        auto slow = options();
        slow.shutdown_time = 10ms;
        Controller model(slow);
        NvmeClient client(model);
        client.enable();
        client.set(cc, cc_enable | request << 14);
        EXPECT_EQ(client.get(csts), 0x5U) << "occurring";
        model.timers().run(model.timers().next());
        EXPECT_EQ(client.get(csts), 0x9U) << "complete";
        EXPECT_EQ(model.poll(), Polled::asleep);
        client.set(cc, 0);
        EXPECT_EQ(client.get(csts), 0U);
        client.set(cc, cc_enable);
        EXPECT_EQ(client.get(csts), 1U);
    }
}

TEST(NvmeRegisters, ShutdownOfADisabledController) {
    Controller model(options());
    const NvmeClient client(model);
    client.set(cc, 1U << 14);
    EXPECT_EQ(client.get(csts), 0x8U);
}

TEST(NvmeRegisters, SubsystemReset) {
    Controller model(options());
    NvmeClient client(model);
    client.enable();
    client.set(0x20, 0x12345678);
    EXPECT_EQ(client.get(csts), 1U) << "not the magic number";
    client.set(0x20, 0x4e564d65);
    EXPECT_EQ(client.get(csts), 0x10U);
    EXPECT_EQ(client.get(cc), 0U);
    EXPECT_EQ(client.get(0x24), 0U);
    client.set(csts, 0x10);
    EXPECT_EQ(client.get(csts), 0U);
}

TEST(NvmeRegisters, DeviceReset) {
    Controller model(options());
    NvmeClient client(model);
    client.enable();
    client.set(0x0c, 1);
    client.set(0x1010, 5);
    model.reset_device();
    for (const std::uint64_t offset : {0x0cU, 0x14U, 0x1cU, 0x24U, 0x28U, 0x30U, 0x1000U, 0x1010U})
        EXPECT_EQ(client.get(offset), 0U) << offset;
    client.enable();
}

TEST(NvmeRegisters, RefuseOptionsThatAreWrong) {
    const auto refused = [](const auto& change) {
        sim::nvme::Options wrong = options();
        change(wrong);
        EXPECT_THROW(Controller{wrong}, Error);
    };
    refused([](auto& o) { o.queue_pairs = 0; });
    refused([](auto& o) { o.queue_pairs = 256; });
    refused([](auto& o) { o.queue_entries = 1; });
    refused([](auto& o) { o.queue_entries = 65537; });
    refused([](auto& o) { o.max_transfer = 5000; });
    refused([](auto& o) { o.doorbell_stride = 11; });
    refused([](auto& o) { o.serial = ""; });
    refused([](auto& o) { o.serial = "123456789012345678901"; });
    refused([](auto& o) { o.namespaces[0].size = 0; });
    sim::nvme::Options wrong = options();
    wrong.max_transfer = 1000;
    EXPECT_ERROR(
        Controller{wrong}, ErrorKind::usage,
        "cannot simulate an NVMe controller: the largest transfer is a power of two from 8 KiB to 16 MiB; "
        "choose another value");
}

}  // namespace
}  // namespace outboard
