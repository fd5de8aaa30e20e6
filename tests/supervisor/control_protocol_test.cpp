#include "outboard/supervisor/control_protocol.hpp"

#include "outboard/base/error.hpp"

#include <random>
#include <string>

#include "tests/support/expect_error.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard {
namespace {

void expect_failure(const auto& action, ErrorKind kind, const char* part) {
    const auto error = test::error_of(action);
    EXPECT_EQ(error.kind(), kind);
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
}

TEST(ControlProtocol, ARequestComesAsItWasSent) {
    const Request request{.order = Order::upgrade, .device = "0000:01:00.0", .driver = "nvme", .force = true};
    const std::string line = to_line(request);
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    const Request back = parse_request(line);
    EXPECT_EQ(back.order, request.order);
    EXPECT_EQ(back.device, request.device);
    EXPECT_EQ(back.driver, request.driver);
    EXPECT_TRUE(back.force);
    EXPECT_EQ(parse_request(to_line({})).order, Order::status);
}

TEST(ControlProtocol, WhatMakesNoSenseIsAnError) {
    for (const char* const line :
         {"", "status", "[]", "{}", "null", R"({"command":"format"})", R"({"command":1})",
          R"({"command":"stop"})", R"({"command":"stop","device":7})",
          R"({"command":"stop","device":"a","force":"yes"})", "{\"command\":\"status\xff\"}"})
        expect_failure([&] { static_cast<void>(parse_request(line)); }, ErrorKind::usage,
                       "understand a request");
}

TEST(ControlProtocol, NoiseIsAnErrorAtMost) {
    std::mt19937 random(1);
    const std::string good = R"({"command":"stop","device":"0000:01:00.0","force":true})";
    for (int i = 0; i < 2000; ++i) {
        std::string line = good;
        for (auto changes = random() % 5; changes-- > 0;)
            line[random() % line.size()] = static_cast<char>(random());
        try {
            static_cast<void>(parse_request(line));
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::usage);
        }
    }
}

TEST(ControlProtocol, AnErrorComesAsItWas) {
    const Error error({.kind = ErrorKind::busy,
                       .action = "stop",
                       .subject = "it",
                       .cause = "it is used",
                       .remedy = "wait"});
    expect_failure([&] { static_cast<void>(result_of(bad_answer(error))); }, ErrorKind::busy,
                   "cannot stop it: it is used; wait");
    EXPECT_EQ(result_of(good_answer({{"a", 1}})).at("a"), 1);
    expect_failure([&] { static_cast<void>(result_of("{}")); }, ErrorKind::failed, "the answer of outboardd");
}

TEST(ControlProtocol, AStatusHasWhatIsPromised) {
    const nlohmann::json status = to_json(DeviceStatus{.device = "0000:01:00.0",
                                                       .driver = "nvme",
                                                       .state = ManagedState::running,
                                                       .host_pid = 7,
                                                       .exports = {"/dev/ublkb0"},
                                                       .restarts = 2,
                                                       .last_failure = {},
                                                       .recovery_us = 0,
                                                       .device_start_us = 0});
    EXPECT_EQ(status.at("device"), "0000:01:00.0");
    EXPECT_EQ(status.at("driver"), "nvme");
    EXPECT_EQ(status.at("state"), "running");
    EXPECT_EQ(status.at("host_pid"), 7);
    EXPECT_EQ(status.at("exports"), nlohmann::json::array({"/dev/ublkb0"}));
    EXPECT_EQ(status.at("restarts"), 2);
    EXPECT_TRUE(status.at("last_failure").is_null());
}

}  // namespace
}  // namespace outboard
