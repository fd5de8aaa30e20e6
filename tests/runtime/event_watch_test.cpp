// EventWatch: nothing lost, nothing invented, cancellation, ends.
#include "outboard/runtime/event_watch.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/runtime/deadline.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

class EventWatchTest : public testing::Test {
  protected:
    void fire(std::uint64_t count = 1) const { EXPECT_EQ(::write(event.get(), &count, sizeof count), 8); }
    std::uint64_t counter() const {
        pollfd readable{.fd = event.get(), .events = POLLIN, .revents = 0};
        std::uint64_t count = 0;
        if (::poll(&readable, 1, 0) != 1)
            return 0;
        EXPECT_EQ(::read(event.get(), &count, sizeof count), 8);
        return count;
    }
    static Task<int> wait(EventWatch& watch) { co_return co_await watch.next(); }
    /// True when an await does not end within a while.
    bool quiet(EventWatch& watch) {
        try {
            loop.run(with_deadline(loop, wait(watch), 30ms, "an event"));
        } catch (const Error& error) {
            return error.kind() == ErrorKind::timed_out;
        }
        return false;
    }

    RunLoop loop;
    Fd event{::eventfd(0, EFD_CLOEXEC)};
};

TEST_F(EventWatchTest, EachFiringEndsOneAwait) {
    EventWatch watch(loop, event.get());
    for (int i = 0; i < 100; ++i) {
        fire();
        EXPECT_EQ(loop.run(wait(watch)), 0);
    }
    EXPECT_TRUE(quiet(watch));
    EXPECT_EQ(counter(), 100U) << "it leaves the counter alone";
    EXPECT_TRUE(quiet(watch));
    fire();
    EXPECT_EQ(loop.run(wait(watch)), 0);
}

TEST_F(EventWatchTest, FiringsBetweenAwaitsAreNotLost) {
    EventWatch watch(loop, event.get());
    for (int i = 0; i < 10; ++i) {
        fire();
        fire();
        loop.turn(Clock::now());
        EXPECT_EQ(loop.run(wait(watch)), 0);
        EXPECT_TRUE(quiet(watch)) << "two before one await end one";
    }
}

TEST_F(EventWatchTest, WhatTheCounterHeldBeforeCounts) {
    fire(3);
    EventWatch watch(loop, event.get());
    EXPECT_EQ(loop.run(wait(watch)), 0);
    EXPECT_TRUE(quiet(watch));
}

TEST_F(EventWatchTest, MillionsInTheCounterDoNotDisturb) {
    EventWatch watch(loop, event.get());
    fire(std::uint64_t{1} << 62);
    EXPECT_EQ(loop.run(wait(watch)), 0);
    EXPECT_TRUE(quiet(watch));
    fire();
    EXPECT_EQ(loop.run(wait(watch)), 0);
}

TEST_F(EventWatchTest, HandsOverWithAnotherThreadWithoutLoss) {
    constexpr int rounds = 20'000;
    EventWatch watch(loop, event.get());
    std::atomic<int> asked = 0;
    std::thread other([&] {
        for (int i = 1; i <= rounds; ++i) {
            while (asked.load() < i)
                std::this_thread::yield();
            fire();
        }
    });
    const auto body = [](EventWatch& on, std::atomic<int>& count) -> Task<int> {
        int done = 0;
        for (; done < rounds; ++done) {
            ++count;
            const int result = co_await on.next();
            if (result != 0)
                break;
        }
        co_return done;
    };
    EXPECT_EQ(loop.run(with_deadline(loop, body(watch, asked), 60s, "all rounds")), rounds);
    other.join();
    EXPECT_TRUE(quiet(watch));
    EXPECT_EQ(counter(), rounds + 0U);
}

TEST_F(EventWatchTest, ABurstFromAnotherThreadEndsWithAnAwaitThatSeesAllOfIt) {
    // As a driver works: after each wake it looks at everything that has happened. The last firing must wake
    // it.
    constexpr int total = 50'000;
    EventWatch watch(loop, event.get());
    std::atomic<int> made = 0;
    std::thread other([&] {
        for (int i = 0; i < total; ++i) {
            ++made;
            fire();
        }
    });
    const auto body = [](EventWatch& on, std::atomic<int>& count) -> Task<void> {
        int seen = 0;
        while (seen < total) {
            co_await on.next();
            seen = count.load();
        }
    };
    loop.run(with_deadline(loop, body(watch, made), 60s, "the whole burst"));
    other.join();
}

TEST_F(EventWatchTest, CancellationEndsAnAwait) {
    EventWatch watch(loop, event.get());
    Task<int> task = wait(watch);
    task.start();
    loop.turn(Clock::now());
    task.cancel();
    EXPECT_FALSE(task.done()) << "the waiter runs in the loop's turn";
    loop.turn(Clock::now() + 5s);
    ASSERT_TRUE(task.done());
    EXPECT_THROW(task.take_result(), Cancelled);
    fire();
    EXPECT_EQ(loop.run(wait(watch)), 0) << "the watch goes on";
}

TEST_F(EventWatchTest, ACancellationBeforeTheAwaitKeepsTheEvent) {
    EventWatch watch(loop, event.get());
    fire();
    Task<int> task = wait(watch);
    task.cancel();
    EXPECT_THROW(loop.run(std::move(task)), Cancelled);
    EXPECT_EQ(loop.run(wait(watch)), 0);
}

TEST_F(EventWatchTest, AWaiterThatIsDestroyedIsForgotten) {
    EventWatch watch(loop, event.get());
    for (const bool cancel : {false, true}) {
        {
            Task<int> task = wait(watch);
            task.start();
            loop.turn(Clock::now());
            if (cancel)
                task.cancel();
        }
        Task<int> second = wait(watch);
        second.start();
        loop.turn(Clock::now());
        EXPECT_FALSE(second.done()) << "another's cancellation";
        fire();
        loop.turn(Clock::now() + 5s);
        EXPECT_TRUE(second.done());
    }
}

TEST_F(EventWatchTest, GoesWhileEventsComeIn) {
    for (int i = 0; i < 200; ++i) {
        EventWatch watch(loop, event.get());
        if (i % 3 != 0)
            loop.turn(Clock::now());
        fire();
        if (i % 2 != 0)
            fire();
    }
    loop.turn(Clock::now());
}

TEST_F(EventWatchTest, ADescriptorThatCannotBePolledIsAnError) {
    EventWatch watch(loop, -1);
    EXPECT_EQ(loop.run(wait(watch)), -EBADF);
    EXPECT_EQ(loop.run(wait(watch)), -EBADF);
}

}  // namespace
}  // namespace outboard
