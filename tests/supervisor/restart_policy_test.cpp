#include "outboard/supervisor/restart_policy.hpp"

#include <chrono>

#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

constexpr Duration long_enough = 1h;
const TimePoint start{100h};

TEST(RestartPolicy, OneThatHadServedIsStartedAtOnceUntilTheLimit) {
    RestartPolicy policy({.limit = 3, .window = 30min, .backoff = 100ms});
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(policy.failed(start + i * 1min, long_enough), Duration::zero());
    EXPECT_FALSE(policy.failed(start + 4min, long_enough));
}

TEST(RestartPolicy, FailuresAreForgottenAfterTheWindow) {
    RestartPolicy policy({.limit = 2, .window = 30min, .backoff = 100ms});
    EXPECT_TRUE(policy.failed(start, long_enough));
    EXPECT_TRUE(policy.failed(start + 20min, long_enough));
    EXPECT_TRUE(policy.failed(start + 30min, long_enough)) << "the first one was 30 minutes ago";
    EXPECT_EQ(policy.recent(), 2U);
    EXPECT_FALSE(policy.failed(start + 31min, long_enough));
    EXPECT_TRUE(policy.failed(start + 51min, long_enough)) << "a failure that was refused does not count";
}

TEST(RestartPolicy, OneThatFailsSoonWaitsLongerEachTime) {
    RestartPolicy policy({.limit = 100, .window = 30min, .backoff = 100ms});
    EXPECT_EQ(policy.failed(start, 0s), 100ms);
    EXPECT_EQ(policy.failed(start, 999ms), 200ms);
    EXPECT_EQ(policy.failed(start, 0s), 400ms);
    EXPECT_EQ(policy.failed(start, 1s), 0s) << "it had served for a while";
    EXPECT_EQ(policy.failed(start, 0s), 100ms);
    for (int i = 0; i < 40; ++i)
        EXPECT_LE(policy.failed(start, 0s), 30s);
    EXPECT_EQ(policy.failed(start, 0s), 30s);
}

TEST(RestartPolicy, WithoutBackoffItNeverWaits) {
    RestartPolicy policy({.limit = 10, .window = 30min, .backoff = 0ms});
    EXPECT_EQ(policy.failed(start, 0s), 0s);
    EXPECT_EQ(policy.failed(start, 0s), 0s);
}

TEST(RestartPolicy, ALimitOfZeroMeansNever) {
    RestartPolicy policy({.limit = 0, .window = 30min, .backoff = 0ms});
    EXPECT_FALSE(policy.failed(start, long_enough));
}

TEST(RestartPolicy, ForgetsOnRequest) {
    RestartPolicy policy({.limit = 1, .window = 30min, .backoff = 100ms});
    EXPECT_TRUE(policy.failed(start, 0s));
    EXPECT_FALSE(policy.failed(start, 0s));
    policy.forget();
    EXPECT_EQ(policy.failed(start, 0s), 100ms);
}

}  // namespace
}  // namespace outboard
