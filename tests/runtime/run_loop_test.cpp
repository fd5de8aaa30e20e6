// RunLoop: turning, stopping, pollers, the ring, and every operation that can be awaited.
#include "outboard/runtime/run_loop.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/runtime/thread_sanitizer.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

/// A no-op entry's completion, counted.
struct Counter final : Completion {
    void complete(int result, unsigned) noexcept override {
        ++completions;
        failures += result < 0 ? 1 : 0;
    }
    int completions = 0;
    int failures = 0;
};

void prepare_nop(RunLoop& loop, Completion& completion) {
    loop.prepare(completion)->opcode = IORING_OP_NOP;
}

template <class Condition>
void turn_until(RunLoop& loop, Condition condition, Duration limit = 10s) {
    const auto deadline = Clock::now() + limit;
    while (!condition() && Clock::now() < deadline)
        loop.turn(deadline);
    EXPECT_TRUE(condition());
}

Duration thread_cpu_time() {
    timespec spec{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spec);
    return std::chrono::seconds(spec.tv_sec) + std::chrono::nanoseconds(spec.tv_nsec);
}

// ---- data path ----

TEST(RunLoop, DeliversACompletion) {
    RunLoop loop;
    Counter counter;
    prepare_nop(loop, counter);
    turn_until(loop, [&] { return counter.completions == 1; });
}

TEST(RunLoop, EntriesAreZeroedAnd128BytesLong) {
    RunLoop loop(RunLoopOptions{.entries = 2});
    Counter counter;
    for (int i = 0; i < 8; ++i) {  // four times around the ring
        io_uring_sqe* sqe = loop.prepare(counter);
        const auto* bytes = reinterpret_cast<const unsigned char*>(sqe);
        for (std::size_t at = 0; at < 128; ++at) {
            if (at >= offsetof(io_uring_sqe, user_data) && at < offsetof(io_uring_sqe, user_data) + 8)
                continue;
            ASSERT_EQ(bytes[at], 0) << "byte " << at << " of entry " << i;
        }
        std::memset(reinterpret_cast<std::byte*>(sqe) + 48, 0x5a, 80);
        const auto user_data = sqe->user_data;
        std::memset(sqe, 0, sizeof *sqe);
        sqe->user_data = user_data;
        sqe->opcode = IORING_OP_NOP;
    }
    turn_until(loop, [&] { return counter.completions == 8; });
    EXPECT_EQ(counter.failures, 0);
}

TEST(RunLoop, TakesMoreOperationsThanTheRingHasEntries) {
    RunLoop loop(RunLoopOptions{.entries = 4});  // 16 completions
    Counter counter;
    for (int i = 0; i < 1000; ++i)
        prepare_nop(loop, counter);
    turn_until(loop, [&] { return counter.completions == 1000; });
    EXPECT_EQ(counter.failures, 0);
    loop.turn(Clock::now());
    EXPECT_EQ(counter.completions, 1000);
}

/// Begets as many operations as it is told, from within its completions.
struct Chain final : Completion {
    explicit Chain(RunLoop& on) noexcept : loop(on) {}
    void complete(int, unsigned) noexcept override {
        ++completions;
        for (int i = 0; i < 8 && left > 0; ++i, --left)
            prepare_nop(loop, *this);
    }
    RunLoop& loop;
    int completions = 0;
    int left = 5000;
};

TEST(RunLoop, CompletionsMaySubmitBeyondTheRing) {
    RunLoop loop(RunLoopOptions{.entries = 4});
    Chain chain(loop);
    prepare_nop(loop, chain);
    turn_until(loop, [&] { return chain.completions == 5001; });
}

TEST(RunLoop, MoreEventsAtOnceThanTheCompletionQueueHolds) {
    RunLoop loop(RunLoopOptions{.entries = 4});
    constexpr int events = 200;
    std::vector<Fd> files;
    std::vector<std::uint64_t> counts(events);
    Counter counter;
    for (std::size_t i = 0; i < events; ++i) {
        files.emplace_back(::eventfd(0, EFD_CLOEXEC));
        io_uring_prep_read(loop.prepare(counter), files.back().get(), &counts[i], sizeof counts[i], 0);
    }
    loop.turn(Clock::now());
    EXPECT_EQ(counter.completions, 0);
    const std::uint64_t one = 1;
    for (const Fd& file : files)
        ASSERT_EQ(::write(file.get(), &one, sizeof one), 8);
    turn_until(loop, [&] { return counter.completions == events; });
    EXPECT_EQ(counter.failures, 0);
    EXPECT_EQ(counts, std::vector<std::uint64_t>(events, 1));
}

// ---- tasks ----

TEST(RunLoop, RunsManyTimersInOrder) {
    RunLoop loop(RunLoopOptions{.entries = 16});
    constexpr int timers = 10'000;
    const auto begin = Clock::now() + 20ms;
    int done = 0;
    int early = 0;
    const auto body = [](RunLoop& on, TimePoint when, int& count, int& too_early) -> Task<void> {
        const int result = co_await on.sleep_until(when);
        if (result != 0 || Clock::now() < when)
            ++too_early;
        if (++count == timers)
            on.stop();
    };
    for (int i = 0; i < timers; ++i)
        loop.spawn(body(loop, begin + std::chrono::microseconds(i * 7919 % 100'000), done, early));
    loop.run();
    EXPECT_EQ(done, timers);
    EXPECT_EQ(early, 0);
}

TEST(RunLoop, SleepsOfNoLengthAndInThePastEndAtOnce) {
    RunLoop loop;
    const auto body = [](RunLoop& on) -> Task<int> {
        int total = 0;
        total += co_await on.sleep_for(0s);
        total += co_await on.sleep_for(-5s);
        total += co_await on.sleep_until(TimePoint{});
        total += co_await on.sleep_until(TimePoint::min());
        co_return total;
    };
    const auto begin = Clock::now();
    EXPECT_EQ(loop.run(body(loop)), 0);
    EXPECT_LT(Clock::now() - begin, 1s);
}

TEST(RunLoop, AnEndlessSleepCanBeCancelled) {
    RunLoop loop;
    const auto body = [](RunLoop& on) -> Task<int> { co_return co_await on.sleep_for(Duration::max()); };
    auto task = body(loop);
    task.start();
    loop.turn(Clock::now());
    EXPECT_FALSE(task.done());
    task.cancel();
    turn_until(loop, [&] { return task.done(); });
    EXPECT_THROW(task.take_result(), Cancelled);
}

TEST(RunLoop, RethrowsWhatASpawnedTaskThrew) {
    RunLoop loop;
    const auto body = [](RunLoop& on) -> Task<void> {
        co_await on.sleep_for(1ms);
        throw Error({ErrorKind::io, "read", "the test device", "it is broken", ""});
    };
    loop.spawn(body(loop));
    try {
        loop.run();
        FAIL() << "no exception";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::io);
        EXPECT_STREQ(error.what(), "cannot read the test device: it is broken");
    }
    loop.stop();
    loop.run();  // thrown once
}

TEST(RunLoop, ASpawnedTaskThatThrowsAtOnceIsNotLost) {
    RunLoop loop;
    const auto body = []() -> Task<void> {
        throw std::runtime_error("at once");
        co_return;
    };
    loop.spawn(body());
    EXPECT_THROW(loop.run(), std::runtime_error);
}

TEST(RunLoop, ASpawnedTaskThatThrowsEndsTheTaskThatRuns) {
    RunLoop loop;
    bool cleaned = false;
    const auto fails = [](RunLoop& on) -> Task<void> {
        co_await on.sleep_for(1ms);
        throw std::runtime_error("spawned");
    };
    const auto waits = [](RunLoop& on, bool& flag) -> Task<int> {
        bool cancelled = false;
        try {
            co_await on.sleep_for(1h);
        } catch (const Cancelled&) {
            cancelled = true;
        }
        co_await on.sleep_for(1ms);
        flag = cancelled;
        co_return 1;
    };
    loop.spawn(fails(loop));
    try {
        loop.run(waits(loop, cleaned));
        FAIL() << "no exception";
    } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "spawned");
    }
    EXPECT_TRUE(cleaned);
}

TEST(RunLoop, CancelsAndAwaitsSpawnedTasksWhenItGoes) {
    std::vector<std::string> story;
    {
        RunLoop loop;
        const auto body = [](RunLoop& on, std::vector<std::string>& lines) -> Task<void> {
            bool cancelled = false;
            try {
                co_await on.sleep_for(1h);
            } catch (const Cancelled&) {
                cancelled = true;
            }
            lines.emplace_back(cancelled ? "cancelled" : "slept");
            co_await on.sleep_for(5ms);
            lines.emplace_back("cleaned up");
        };
        loop.spawn(body(loop, story));
        loop.turn(Clock::now());
    }
    EXPECT_EQ(story, (std::vector<std::string>{"cancelled", "cleaned up"}));
}

TEST(RunLoop, ReportsWhatATaskThrowsWhileTheLoopGoes) {
    testing::internal::CaptureStderr();
    {
        RunLoop loop;
        const auto body = [](RunLoop& on) -> Task<void> {
            bool cancelled = false;
            try {
                co_await on.sleep_for(1h);
            } catch (const Cancelled&) {
                cancelled = true;
            }
            if (cancelled)
                throw std::runtime_error("the cache was not flushed");
        };
        loop.spawn(body(loop));
    }
    EXPECT_NE(testing::internal::GetCapturedStderr().find("the cache was not flushed"), std::string::npos);
}

// ---- stop ----

TEST(RunLoopStop, FromAnotherThread) {
    for (int i = 0; i < 50; ++i) {
        RunLoop loop;
        std::thread other([&] {
            if (i % 2 != 0)
                std::this_thread::sleep_for(1ms);
            loop.stop();
        });
        loop.run();
        other.join();
    }
}

TEST(RunLoopStop, BeforeRunIsNotLost) {
    RunLoop loop;
    loop.stop();
    loop.stop();
    loop.run();
    std::thread other([&] {
        std::this_thread::sleep_for(20ms);
        loop.stop();
    });
    const auto begin = Clock::now();
    loop.run();  // the two above were one
    EXPECT_GE(Clock::now() - begin, 15ms);
    other.join();
}

std::atomic<RunLoop*> signalled_loop = nullptr;

TEST(RunLoopStop, FromASignalHandler) {
    RunLoop loop;
    signalled_loop = &loop;
    struct sigaction action{};
    action.sa_handler = [](int) { signalled_loop.load()->stop(); };
    struct sigaction before{};
    ASSERT_EQ(::sigaction(SIGALRM, &action, &before), 0);
    const itimerval soon{{0, 0}, {0, 20'000}};
    ASSERT_EQ(::setitimer(ITIMER_REAL, &soon, nullptr), 0);
    if constexpr (thread_sanitizer) {
        // It keeps a signal back until the thread makes a call that it intercepts.
        const auto make_calls = [](RunLoop& on) -> Task<void> {
            for (;;) {
                co_await on.sleep_for(10ms);
                ::usleep(1);
            }
        };
        loop.spawn(make_calls(loop));
    }
    loop.run();
    ASSERT_EQ(::sigaction(SIGALRM, &before, nullptr), 0);
}

TEST(RunLoopStop, CancelsTheTaskThatRuns) {
    RunLoop loop;
    std::thread other([&] {
        std::this_thread::sleep_for(5ms);
        loop.stop();
    });
    const auto body = [](RunLoop& on) -> Task<void> { co_await on.sleep_for(1h); };
    EXPECT_THROW(loop.run(body(loop)), Cancelled);
    other.join();
}

TEST(RunLoopStop, NoticedWhileAPollerSpins) {
    struct Spinner final : Poller {
        TimePoint poll(TimePoint now) noexcept override { return now; }
    } spinner;
    RunLoop loop;
    loop.add_poller(spinner);
    std::thread other([&] {
        std::this_thread::sleep_for(10ms);
        loop.stop();
    });
    loop.run();
    other.join();
    loop.remove_poller(spinner);
}

// ---- pollers ----

struct TimedPoller final : Poller {
    TimePoint poll(TimePoint now) noexcept override {
        ++calls;
        if (late.size() < 19 && now >= next) {
            late.push_back(now - next);
            next = now + 500us;
        }
        return late.size() < 19 ? next : TimePoint::max();
    }
    TimePoint next = Clock::now() + 500us;
    std::vector<Duration> late;
    int calls = 0;
};

TEST(RunLoopPoller, IsCalledWhenItAskedToBe) {
    RunLoop loop;
    TimedPoller poller;
    loop.add_poller(poller);
    turn_until(loop, [&] { return poller.late.size() == 18; });
    EXPECT_LE(poller.calls, 60) << "it slept in between";
    loop.remove_poller(poller);
}

TEST(RunLoopPoller, TurnGivesTheTimeItIsWantedNext) {
    struct Fixed final : Poller {
        explicit Fixed(TimePoint when) noexcept : wanted(when) {}
        TimePoint poll(TimePoint) noexcept override { return wanted; }
        TimePoint wanted;
    };
    RunLoop loop;
    Fixed far(Clock::now() + 2h);
    Fixed near(Clock::now() + 1h);
    loop.add_poller(far);
    loop.add_poller(near);
    EXPECT_EQ(loop.turn(Clock::now()), near.wanted);
    loop.remove_poller(near);
    EXPECT_EQ(loop.turn(Clock::now()), far.wanted);
    loop.remove_poller(far);
}

TEST(RunLoopPoller, MayAddAndRemovePollers) {
    struct Once final : Poller {
        explicit Once(RunLoop& on) noexcept : loop(on) {}
        TimePoint poll(TimePoint) noexcept override {
            ++calls;
            loop.remove_poller(*this);
            if (next)
                loop.add_poller(*next);
            return TimePoint::max();
        }
        RunLoop& loop;
        Once* next = nullptr;
        int calls = 0;
    };
    RunLoop loop;
    Once last(loop);
    Once first(loop);
    first.next = &last;
    loop.add_poller(first);
    for (int i = 0; i < 3; ++i)
        loop.turn(Clock::now());
    EXPECT_EQ(first.calls, 1);
    EXPECT_EQ(last.calls, 1);
}

TEST(RunLoopPoller, CompletionsComeWhileOneSpins) {
    struct Spinner final : Poller {
        TimePoint poll(TimePoint now) noexcept override {
            ++calls;
            return now;
        }
        int calls = 0;
    } spinner;
    RunLoop loop;
    loop.add_poller(spinner);
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    const auto body = [](RunLoop& on, int fd) -> Task<std::uint64_t> {
        std::uint64_t count = 0;
        co_await on.event(fd, count);
        co_return count;
    };
    std::thread other([&] {
        std::this_thread::sleep_for(10ms);
        const std::uint64_t value = 5;
        EXPECT_EQ(::write(event.get(), &value, sizeof value), 8);
    });
    EXPECT_EQ(loop.run(body(loop, event.get())), 5U);
    EXPECT_GT(spinner.calls, 100);
    other.join();
    loop.remove_poller(spinner);
}

/// Makes io_uring_enter fail in this thread, for ever.
bool forbid_io_uring_enter() {
    std::array<sock_filter, 4> program{
        sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, __NR_io_uring_enter},
        sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EACCES},
        sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    const sock_fprog filter{program.size(), program.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

TEST(RunLoopPoller, SpinsWithoutSystemCalls) {
    struct Spinner final : Poller {
        TimePoint poll(TimePoint now) noexcept override { return now; }
    };
    std::thread thread([] {
        RunLoop loop;
        Spinner spinner;
        loop.add_poller(spinner);
        loop.turn();  // submits what the constructor prepared
        loop.turn();
        ASSERT_TRUE(forbid_io_uring_enter());
        for (int i = 0; i < 10'000; ++i)
            ASSERT_NO_THROW(loop.turn());
        Counter counter;
        prepare_nop(loop, counter);
        EXPECT_THROW(loop.turn(), Error) << "the filter was there";
        loop.remove_poller(spinner);
    });
    thread.join();
}

TEST(RunLoop, SleepsWhileNothingHappens) {
    RunLoop loop;
    TimedPoller quiet;
    quiet.late.resize(19);  // asks for nothing
    loop.add_poller(quiet);
    loop.turn(Clock::now() + 1ms);
    loop.turn(Clock::now() + 1ms);
    const auto before = thread_cpu_time();
    EXPECT_EQ(quiet.calls, 2);
    loop.turn(Clock::now() + 500ms);
    EXPECT_EQ(quiet.calls, 3);
    EXPECT_LT(thread_cpu_time() - before, 1ms);
    loop.remove_poller(quiet);
}

// ---- operations ----

TEST(RunLoopOperation, EventGivesWhatWasCounted) {
    RunLoop loop;
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    const auto body = [](RunLoop& on, int fd) -> Task<std::uint64_t> {
        std::uint64_t count = 0;
        const int result = co_await on.event(fd, count);
        co_return result == 8 ? count : 0;
    };
    const std::uint64_t value = 3;
    ASSERT_EQ(::write(event.get(), &value, sizeof value), 8);
    ASSERT_EQ(::write(event.get(), &value, sizeof value), 8);
    EXPECT_EQ(loop.run(body(loop, event.get())), 6U);
    std::thread other([&] {
        std::this_thread::sleep_for(5ms);
        EXPECT_EQ(::write(event.get(), &value, sizeof value), 8);
    });
    EXPECT_EQ(loop.run(body(loop, event.get())), 3U);
    other.join();
}

TEST(RunLoopOperation, SocketsReadAndWrite) {
    RunLoop loop;
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    const Fd left(pair[0]);
    Fd right(pair[1]);
    const auto echo = [](RunLoop& on, int fd) -> Task<void> {
        std::array<std::byte, 64> buffer{};
        const int received = co_await on.read(fd, buffer);
        const auto reply = std::span(buffer).first(static_cast<std::size_t>(std::max(received, 0)));
        co_await on.write(fd, reply);
    };
    const auto ask = [](RunLoop& on, int fd) -> Task<std::string> {
        const std::string question = "hello";
        co_await on.write(fd, std::as_bytes(std::span(question)));
        std::string answer(64, '\0');
        const int received = co_await on.read(fd, std::as_writable_bytes(std::span(answer)));
        answer.resize(static_cast<std::size_t>(std::max(received, 0)));
        co_return answer;
    };
    loop.spawn(echo(loop, right.get()));
    EXPECT_EQ(loop.run(ask(loop, left.get())), "hello");
    right.reset();
    std::array<std::byte, 8> rest{};
    const auto hear = [](RunLoop& on, int fd, std::span<std::byte> into) -> Task<int> {
        co_return co_await on.read(fd, into);
    };
    EXPECT_EQ(loop.run(hear(loop, left.get(), rest)), 0) << "the other end is closed";
}

TEST(RunLoopOperation, FailuresAreNegativeErrnoValues) {
    RunLoop loop;
    const auto body = [](RunLoop& on) -> Task<int> {
        std::array<std::byte, 8> buffer{};
        co_return co_await on.read(-1, buffer);
    };
    EXPECT_EQ(loop.run(body(loop)), -EBADF);
}

TEST(RunLoopOperation, PollGivesTheEventsThatAreThere) {
    RunLoop loop;
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd out(ends[0]);
    const Fd in(ends[1]);
    const auto body = [](RunLoop& on, int fd, unsigned events) -> Task<int> {
        co_return co_await on.poll(fd, events);
    };
    EXPECT_EQ(loop.run(body(loop, in.get(), POLLOUT)), POLLOUT);
    ASSERT_EQ(::write(in.get(), "x", 1), 1);
    EXPECT_EQ(loop.run(body(loop, out.get(), POLLIN)), POLLIN);
}

TEST(RunLoopOperation, SubmitTakesAnyEntry) {
    RunLoop loop;
    const auto body = [](RunLoop& on) -> Task<int> {
        co_return co_await on.submit([](io_uring_sqe* sqe) {
            io_uring_prep_openat(sqe, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC, 0);
        });
    };
    const Fd file(loop.run(body(loop)));
    EXPECT_TRUE(static_cast<bool>(file));
}

TEST(RunLoopOperation, OneThatCompletesInSpiteOfACancellationKeepsItsResult) {
    RunLoop loop;
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    const auto body = [](RunLoop& on, int fd, std::uint64_t& seen) -> Task<void> {
        co_await on.event(fd, seen);
        co_await on.sleep_for(1h);
    };
    std::uint64_t seen = 0;
    Task<void> task = body(loop, event.get(), seen);
    task.start();
    loop.turn(Clock::now());
    const std::uint64_t value = 9;
    ASSERT_EQ(::write(event.get(), &value, sizeof value), 8);
    // The event has happened already when the request to cancel is submitted: the count must not be lost, and
    // the cancellation meets the next await.
    task.cancel();
    turn_until(loop, [&] { return task.done(); });
    EXPECT_THROW(task.take_result(), Cancelled);
    std::uint64_t left = 0;
    const int flags = ::fcntl(event.get(), F_GETFL);
    ASSERT_EQ(::fcntl(event.get(), F_SETFL, flags | O_NONBLOCK), 0);
    const bool still_there = ::read(event.get(), &left, sizeof left) == 8;
    EXPECT_EQ(seen + (still_there ? left : 0), 9U) << "counted once, by the task or still in the eventfd";
}

TEST(RunLoopOperation, DestroyedWhileGoingOnTheKernelWritesNoMore) {
    RunLoop loop;
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    const auto count = std::make_unique<std::uint64_t>(0);
    Counter other;
    {
        const auto body = [](RunLoop& on, int fd, std::uint64_t& into) -> Task<void> {
            co_await on.event(fd, into);
        };
        Task<void> task = body(loop, event.get(), *count);
        task.start();
        loop.turn(Clock::now());
        prepare_nop(loop, other);
    }
    const std::uint64_t value = 1;
    ASSERT_EQ(::write(event.get(), &value, sizeof value), 8);
    turn_until(loop, [&] { return other.completions == 1; });  // those that came meanwhile are delivered
    EXPECT_EQ(*count, 0U);
}

TEST(RunLoopOperation, DestroyedAfterItsCompletionCameButBeforeItWasDelivered) {
    RunLoop loop;
    std::vector<std::unique_ptr<Task<void>>> tasks(2);
    int finished = 0;
    const auto body = [](RunLoop& on, std::unique_ptr<Task<void>>& other, int& count) -> Task<void> {
        co_await on.submit([](io_uring_sqe* sqe) { sqe->opcode = IORING_OP_NOP; });
        other.reset();
        ++count;
    };
    tasks[0] = std::make_unique<Task<void>>(body(loop, tasks[1], finished));
    tasks[1] = std::make_unique<Task<void>>(body(loop, tasks[0], finished));
    tasks[0]->start();
    tasks[1]->start();
    turn_until(loop, [&] { return finished == 1; });
    loop.turn(Clock::now());
    EXPECT_EQ(finished, 1);
}

// ---- embedding and neighbours ----

TEST(RunLoop, LivesInAnotherEventLoop) {
    RunLoop loop;
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    int steps = 0;
    const auto body = [](RunLoop& on, int fd, int& count) -> Task<void> {
        std::uint64_t value = 0;
        for (;;) {
            co_await on.event(fd, value);
            ++count;
            co_await on.sleep_for(2ms);
            ++count;
        }
    };
    Task<void> task = body(loop, event.get(), steps);
    task.start();
    const auto begin = Clock::now();
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t one = 1;
        ASSERT_EQ(::write(event.get(), &one, sizeof one), 8);
        for (int want = 2 * round + 1; want <= 2 * round + 2; ++want) {
            while (steps < want) {
                pollfd watched{loop.event_fd(), POLLIN, 0};
                ASSERT_EQ(::poll(&watched, 1, 5000), 1) << "round " << round << ", step " << want;
                loop.turn(TimePoint{});
            }
        }
    }
    EXPECT_EQ(steps, 20);
    EXPECT_LT(Clock::now() - begin, 4s) << "poll(2) was woken, and did not find it out at its time-out";
}

TEST(RunLoop, SeveralLiveInOneThread) {
    RunLoop outer;
    RunLoop inner;
    static const auto child = [](RunLoop& on) -> Task<int> {
        co_await on.sleep_for(1ms);
        co_return 1;
    };
    const auto parent = [](RunLoop& on, RunLoop& below) -> Task<int> {
        co_await on.sleep_for(1ms);
        co_return 1 + below.run(child(below));
    };
    EXPECT_EQ(outer.run(parent(outer, inner)), 2);
}

TEST(RunLoop, SeveralLiveInOneProcess) {
    std::vector<std::thread> threads;
    std::atomic<int> total = 0;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            RunLoop loop;
            const auto body = [](RunLoop& on, std::atomic<int>& sum) -> Task<void> {
                for (int step = 0; step < 50; ++step) {
                    co_await on.sleep_for(50us);
                    ++sum;
                }
            };
            loop.run(body(loop, total));
        });
    }
    for (auto& thread : threads)
        thread.join();
    EXPECT_EQ(total, 200);
}

TEST(RunLoop, TimerSlackIsItsOwnWhileItLives) {
    const int before = ::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    {
        const RunLoop loop;
        EXPECT_EQ(::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 1);
    }
    EXPECT_EQ(::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), before);
}

TEST(RunLoop, ARingThatCannotBeMadeIsExplained) {
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{3, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    // Looked at with the limit back in place: UBSan opens a pipe to look at an object's type.
    std::exception_ptr failure;
    try {
        const RunLoop loop;
    } catch (...) {
        failure = std::current_exception();
    }
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    ASSERT_TRUE(failure);
    try {
        std::rethrow_exception(failure);
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("EMFILE"), std::string::npos) << error.what();
    }

    try {
        const RunLoop loop(RunLoopOptions{.entries = 1U << 20});
        FAIL() << "no exception";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::unsupported);
        EXPECT_NE(std::string(error.what()).find("Linux 6.1"), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace outboard
