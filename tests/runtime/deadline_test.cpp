// with_deadline and wait_until: what ends in time, what does not, and what comes from outside.
#include "outboard/runtime/deadline.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"

#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>
#include <sys/eventfd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

Task<int> slow(RunLoop& loop, Duration duration, int value) {
    co_await loop.sleep_for(duration);
    co_return value;
}

Task<int> limited(RunLoop& loop, Duration duration, Duration limit) {
    auto inner = slow(loop, duration, 42);
    co_return co_await with_deadline(loop, std::move(inner), limit, "the factorial on 0000:00:04.0");
}

TEST(Deadline, GivesTheResultOfWhatEndsInTime) {
    RunLoop loop;
    EXPECT_EQ(loop.run(limited(loop, 1ms, 10s)), 42);
    EXPECT_EQ(loop.run(limited(loop, 0ms, Duration::max())), 42);
}

TEST(Deadline, PassesMoveOnlyResults) {
    RunLoop loop;
    const auto make = [](RunLoop& on) -> Task<std::unique_ptr<int>> {
        co_await on.sleep_for(1us);
        co_return std::make_unique<int>(4);
    };
    const auto outer = [](RunLoop& on, Task<std::unique_ptr<int>> inner) -> Task<int> {
        const auto result = co_await with_deadline(on, std::move(inner), 1s, "it");
        co_return *result;
    };
    auto inner = make(loop);
    EXPECT_EQ(loop.run(outer(loop, std::move(inner))), 4);
}

TEST(Deadline, SaysWhatDidNotEndAndWhen) {
    RunLoop loop;
    const auto begin = Clock::now();
    try {
        loop.run(limited(loop, 1h, 20ms));
        FAIL() << "no exception";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::timed_out);
        EXPECT_STREQ(error.what(), "cannot finish the factorial on 0000:00:04.0: no answer within 20 ms");
    }
    EXPECT_GE(Clock::now() - begin, 20ms);
    EXPECT_LT(Clock::now() - begin, 2s);
}

TEST(Deadline, ExceptionsPass) {
    RunLoop loop;
    const auto fails = [](RunLoop& on) -> Task<void> {
        co_await on.sleep_for(1ms);
        throw Error({ErrorKind::io, "read", "sector 5", "the medium is bad", ""});
    };
    try {
        loop.run(with_deadline(loop, fails(loop), 10s, "it"));
        FAIL() << "no exception";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::io);
    }
}

TEST(Deadline, ATaskThatEndsInSpiteOfItKeepsItsResult) {
    RunLoop loop;
    const auto stubborn = [](RunLoop& on) -> Task<int> {
        bool cancelled = false;
        try {
            co_await on.sleep_for(1h);
        } catch (const Cancelled&) {
            cancelled = true;
        }
        co_return cancelled ? 8 : 0;
    };
    EXPECT_EQ(loop.run(with_deadline(loop, stubborn(loop), 5ms, "it")), 8);
}

TEST(Deadline, AwaitsTheCleanUpOfWhatItCancels) {
    RunLoop loop;
    bool cleaned = false;
    const auto careful = [](RunLoop& on, bool& flag) -> Task<void> {
        bool cancelled = false;
        try {
            co_await on.sleep_for(1h);
        } catch (const Cancelled&) {
            cancelled = true;
        }
        co_await on.sleep_for(5ms);
        flag = true;
        if (cancelled)
            throw Cancelled();
    };
    EXPECT_THROW(loop.run(with_deadline(loop, careful(loop, cleaned), 5ms, "it")), Error);
    EXPECT_TRUE(cleaned);
}

TEST(Deadline, ACancellationFromOutsideIsNoTimeOut) {
    RunLoop loop;
    auto task = limited(loop, 1h, 1h);
    task.start();
    loop.turn(Clock::now());
    task.cancel();
    while (!task.done())
        loop.turn(Clock::now() + 5s);
    EXPECT_THROW(task.take_result(), Cancelled);
}

TEST(Deadline, ACancellationWhileTheTimeOutIsBeingServedIsNotLost) {
    RunLoop loop;
    int cleaning = 0;
    const auto careful = [](RunLoop& on, int& stage) -> Task<void> {
        bool cancelled = false;
        try {
            co_await on.sleep_for(1h);
        } catch (const Cancelled&) {
            cancelled = true;
        }
        stage = cancelled ? 1 : 0;
        co_await on.sleep_for(1h);
    };
    Task<void> task = with_deadline(loop, careful(loop, cleaning), 5ms, "it");
    task.start();
    while (cleaning == 0)
        loop.turn(Clock::now() + 5s);
    task.cancel();
    while (!task.done())
        loop.turn(Clock::now() + 5s);
    EXPECT_THROW(task.take_result(), Cancelled);
}

TEST(Deadline, NestsTheInnerOneFirst) {
    RunLoop loop;
    const auto outer = [](RunLoop& on) -> Task<std::string> {
        auto inner = limited(on, 1h, 5ms);
        std::string text;
        try {
            co_await with_deadline(on, std::move(inner), 10s, "the outer one");
        } catch (const Error& error) {
            text = error.what();
        }
        co_return text;
    };
    EXPECT_NE(loop.run(outer(loop)).find("the factorial"), std::string::npos);
}

TEST(Deadline, NestsTheOuterOneFirst) {
    RunLoop loop;
    const auto outer = [](RunLoop& on) -> Task<std::string> {
        auto inner = limited(on, 1h, 10s);
        std::string text;
        try {
            co_await with_deadline(on, std::move(inner), 5ms, "the outer one");
        } catch (const Error& error) {
            text = error.what();
        }
        co_return text;
    };
    EXPECT_NE(loop.run(outer(loop)).find("the outer one"), std::string::npos);
}

TEST(Deadline, IsDestroyedWhileItWaits) {
    RunLoop loop;
    {
        auto task = limited(loop, 1h, 1h);
        task.start();
        loop.turn(Clock::now());
    }
    loop.turn(Clock::now());
    EXPECT_EQ(loop.run(limited(loop, 1ms, 10s)), 42);
}

TEST(Deadline, TenThousandInARowLeaveNothingBehind) {
    RunLoop loop;
    const auto many = [](RunLoop& on) -> Task<int> {
        int total = 0;
        for (int i = 0; i < 10'000; ++i) {
            auto inner = slow(on, 0ms, 1);
            total += co_await with_deadline(on, std::move(inner), 1h, "one of many");
        }
        co_return total;
    };
    EXPECT_EQ(loop.run(many(loop)), 10'000);
}

TEST(Deadline, RacesWithTheEndAndNeverLosesAnEvent) {
    RunLoop loop;
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    const auto wait = [](RunLoop& on, int fd) -> Task<std::uint64_t> {
        std::uint64_t count = 0;
        co_await on.event(fd, count);
        co_return count;
    };
    std::uint64_t seen = 0;
    int timed_out = 0;
    for (int i = 0; i < 500; ++i) {
        const auto race = [](RunLoop& on, Task<std::uint64_t> inner) -> Task<std::uint64_t> {
            co_return co_await with_deadline(on, std::move(inner), 50us, "an event");
        };
        const auto write_soon = [](RunLoop& on, int fd, Duration delay) -> Task<void> {
            co_await on.sleep_for(delay);
            const std::uint64_t one = 1;
            EXPECT_EQ(::write(fd, &one, sizeof one), 8);
        };
        Task<void> writer = write_soon(loop, event.get(), std::chrono::microseconds(20 + i % 60));
        writer.start();
        try {
            seen += loop.run(race(loop, wait(loop, event.get())));
        } catch (const Error&) {
            ++timed_out;
        }
        while (!writer.done())
            loop.turn(Clock::now() + 1s);
    }
    std::uint64_t rest = 0;
    const std::uint64_t one = 1;
    ASSERT_EQ(::write(event.get(), &one, sizeof one), 8);
    ASSERT_EQ(::read(event.get(), &rest, sizeof rest), 8);
    EXPECT_EQ(seen + rest - 1, 500U) << "after " << timed_out << " time-outs";
    EXPECT_GT(timed_out, 0);
    EXPECT_LT(timed_out, 500);
}

// ---- conditions ----

TEST(WaitUntil, LooksAtOnce) {
    RunLoop loop;
    int looks = 0;
    loop.run(wait_until(loop, [&] { return ++looks == 1; }, 1s, 1h, "ready"));
    EXPECT_EQ(looks, 1);
}

TEST(WaitUntil, LooksEveryInterval) {
    RunLoop loop;
    int looks = 0;
    const auto begin = Clock::now();
    loop.run(wait_until(loop, [&] { return ++looks == 5; }, 10s, 2ms, "ready"));
    EXPECT_GE(Clock::now() - begin, 8ms);
    EXPECT_EQ(looks, 5);
}

TEST(WaitUntil, LooksOnceMoreWhenTheTimeIsOver) {
    RunLoop loop;
    const auto begin = Clock::now();
    loop.run(wait_until(loop, [&] { return Clock::now() >= begin + 10ms; }, 10ms, 1h, "ready"));
    EXPECT_LT(Clock::now() - begin, 5s);
}

TEST(WaitUntil, SaysWhatDidNotBecomeTrue) {
    RunLoop loop;
    int looks = 0;
    try {
        loop.run(wait_until(
            loop,
            [&] {
                ++looks;
                return false;
            },
            10ms, 3ms, "BSY clear on 0000:00:04.0, primary channel"));
        FAIL() << "no exception";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::timed_out);
        EXPECT_STREQ(error.what(),
                     "cannot see BSY clear on 0000:00:04.0, primary channel: not so within 10 ms");
    }
    EXPECT_GE(looks, 2);
    EXPECT_LE(looks, 5);
}

TEST(WaitUntil, CanBeCancelled) {
    RunLoop loop;
    Task<void> task = wait_until(loop, [] { return false; }, 1h, 1h, "never");
    task.start();
    loop.turn(Clock::now());
    task.cancel();
    while (!task.done())
        loop.turn(Clock::now() + 5s);
    EXPECT_THROW(task.take_result(), Cancelled);
}

}  // namespace
}  // namespace outboard
