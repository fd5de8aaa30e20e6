#include "outboard/supervisor/configuration.hpp"

#include <chrono>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Configuration parsed(std::string_view text) {
    Configuration configuration;
    parse_configuration(text, "a.toml", configuration);
    return configuration;
}

TEST(Configuration, WhatIsNotSaidIsAsUsual) {
    const Configuration configuration = parsed("[[device]]\nname = \"0000:01:00.0\"\n");
    EXPECT_THAT(configuration.problems, IsEmpty());
    ASSERT_EQ(configuration.devices.size(), 1U);
    const DeviceSettings& device = configuration.devices[0];
    EXPECT_EQ(device.device.text(), "0000:01:00.0");
    EXPECT_EQ(device.driver, "");
    EXPECT_THAT(device.disks, ElementsAre(0U));
    EXPECT_EQ(device.restart.limit, 5U);
    EXPECT_EQ(device.restart.window, 30min);
}

TEST(Configuration, EveryKeyCounts) {
    const Configuration configuration = parsed(R"(
[[device]]
name = "vfio-user:/run/disk.sock"
driver = "nvme"
disks = [1, 0]
queues = 2
queue_depth = 64
batch = true
write_cache = false
timeout_seconds = 7
dma = false
completion = "poll"
[device.restart]
limit = 9
window_seconds = 60
backoff_ms = 0
hang_ms = 1500
)");
    EXPECT_THAT(configuration.problems, IsEmpty());
    ASSERT_EQ(configuration.devices.size(), 1U);
    const DeviceSettings& device = configuration.devices[0];
    EXPECT_EQ(device.device.socket(), "/run/disk.sock");
    EXPECT_EQ(device.driver, "nvme");
    EXPECT_THAT(device.disks, ElementsAre(1U, 0U));
    EXPECT_EQ(device.queues, 2U);
    EXPECT_EQ(device.queue_depth, 64U);
    EXPECT_TRUE(device.batch);
    EXPECT_EQ(device.write_cache, false);
    EXPECT_EQ(device.timeout_seconds, 7U);
    EXPECT_FALSE(device.dma);
    EXPECT_EQ(device.completion, CompletionMode::poll);
    EXPECT_EQ(device.restart.limit, 9U);
    EXPECT_EQ(device.restart.window, 60s);
    EXPECT_EQ(device.restart.backoff, 0s);
    EXPECT_EQ(device.hang_limit, 1500ms);
}

TEST(Configuration, ABadEntryIsNamedAndTheRestCounts) {
    const Configuration configuration = parsed(R"([[device]]
name = "0000:01:00.0"
queues = "two"

[[device]]
name = "0000:02:00.0"
)");
    EXPECT_THAT(configuration.problems, ElementsAre("a.toml:3: 'queues' is a whole number from 1 to 4096"));
    ASSERT_EQ(configuration.devices.size(), 1U);
    EXPECT_EQ(configuration.devices[0].device.text(), "0000:02:00.0");
}

TEST(Configuration, EveryMistakeSaysWhereItIs) {
    struct Case {
        std::string_view text;
        std::string_view problem;
    };
    for (const Case& one : {
             Case{"[[device]]\nqueues = 1\n", "a.toml:1: a device has no 'name'"},
             Case{"[[device]]\nname = \"disk\"\n", "a.toml:2: 'name': that is neither a PCI address"},
             Case{"[[device]]\nname = 3\n", "a.toml:2: 'name' is a text"},
             Case{"[[device]]\nname = \"0000:01:00.0\"\nquees = 1\n",
                  "a.toml:3: device has no key 'quees'; it has name, driver,"},
             Case{"[[device]]\nname = \"0000:01:00.0\"\n[device.restart]\nlimit = -1\n",
                  "a.toml:4: 'limit' is a whole number from 0 to 1000000"},
             Case{"[[device]]\nname = \"0000:01:00.0\"\nrestart = 1\n", "a.toml:3: 'restart' is a table"},
             Case{"[[device]]\nname = \"0000:01:00.0\"\ndisks = [0, 0]\n",
                  "a.toml:3: 'disks' names disk 0 twice"},
             Case{"[[device]]\nname = \"0000:01:00.0\"\ndisks = 1\n", "a.toml:3: 'disks' is a list"},
             Case{"[[device]]\nname = \"0000:01:00.0\"\ncompletion = \"fast\"\n",
                  "a.toml:3: 'completion' is \"adaptive\""},
             Case{"[[device]]\nname = \"0000:01:00.0\"\ndma = 1\n", "a.toml:3: 'dma' is true or false"},
             Case{"device = 1\n", "a.toml:1: 'device' is a list of tables"},
             Case{"[devices]\n", "a.toml:1: there is no key 'devices'; there is device"},
             Case{"\n[[device]\n", "a.toml:2: "},
         }) {
        const Configuration configuration = parsed(one.text);
        EXPECT_THAT(configuration.devices, IsEmpty()) << one.text;
        ASSERT_EQ(configuration.problems.size(), 1U) << one.text;
        EXPECT_THAT(configuration.problems[0], HasSubstr(one.problem)) << one.text;
    }
}

TEST(Configuration, ADeviceCountsOnce) {
    Configuration configuration = parsed("[[device]]\nname = \"0000:01:00.0\"\ndriver = \"nvme\"\n");
    parse_configuration("[[device]]\nname = \"0000:01:00.0\"\ndriver = \"ahci\"\n", "b.toml", configuration);
    ASSERT_EQ(configuration.devices.size(), 1U);
    EXPECT_EQ(configuration.devices[0].driver, "nvme");
    EXPECT_THAT(configuration.problems,
                ElementsAre("b.toml:1: 'name' 0000:01:00.0 is here for the second time; the first entry "
                            "counts"));
}

TEST(Configuration, WithoutAnyFileItIsEmpty) {
    const Configuration configuration = read_configuration("/nonexistent/outboard");
    EXPECT_THAT(configuration.devices, IsEmpty());
    EXPECT_THAT(configuration.problems, IsEmpty());
}

}  // namespace
}  // namespace outboard
