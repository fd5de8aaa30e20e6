// Task<T>: results, exceptions, lifetimes, cancellation.
#include "outboard/runtime/task.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<Task<int>> && std::is_nothrow_move_constructible_v<Task<int>>);
static_assert(!std::is_base_of_v<std::exception, Cancelled>);

/// Writes down when it goes.
struct Witness {
    explicit Witness(int& gone) noexcept : count(&gone) {}
    Witness(Witness&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
    Witness& operator=(Witness&&) = delete;
    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;
    ~Witness() {
        if (count)
            ++*count;
    }
    int* count;
};

Task<int> give(int value) {
    co_return value;
}
Task<int> fail(std::string text) {
    if (!text.empty())
        throw std::runtime_error(text);
    co_return 0;
}
Task<int> sum(int count) {
    int total = 0;
    for (int i = 0; i < count; ++i)
        total += co_await give(1);
    co_return total;
}
Task<int> depth(int levels) {
    if (levels == 0)
        co_return 0;
    co_return 1 + co_await depth(levels - 1);
}

TEST(Task, GivesItsResult) {
    RunLoop loop;
    EXPECT_EQ(loop.run(give(7)), 7);
    EXPECT_EQ(loop.run(depth(100)), 100);
}

TEST(Task, GivesAMoveOnlyResult) {
    const auto make = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); };
    RunLoop loop;
    EXPECT_EQ(*loop.run(make()), 5);
}

TEST(Task, ThrowsWhatItsBodyThrew) {
    RunLoop loop;
    try {
        loop.run(fail("broken"));
        FAIL() << "no exception";
    } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "broken");
    }
}

TEST(Task, ExceptionsPassThroughAwaits) {
    const auto outer = [](std::string text) -> Task<std::string> {
        std::string seen;
        try {
            auto child = fail(text);
            co_await std::move(child);
        } catch (const std::runtime_error& error) {
            seen = error.what();
        }
        co_return seen;
    };
    RunLoop loop;
    EXPECT_EQ(loop.run(outer("deep")), "deep");
}

TEST(Task, AMillionChildrenThatDoNotWaitNeedNoStack) {
    RunLoop loop;
    EXPECT_EQ(loop.run(sum(1'000'000)), 1'000'000);
}

TEST(Task, NeverStartedIsDestroyedWithItsArguments) {
    int gone = 0;
    bool started = false;
    {
        const auto body = [](Witness, bool& flag) -> Task<void> {
            flag = true;
            co_return;
        };
        Witness witness(gone);
        const Task<void> task = body(std::move(witness), started);
        EXPECT_TRUE(static_cast<bool>(task));
        EXPECT_FALSE(task.done());
        EXPECT_EQ(gone, 0);
    }
    EXPECT_EQ(gone, 1);
    EXPECT_FALSE(started);
}

Task<void> hold(RunLoop& loop, int& gone) {
    const Witness witness(gone);
    co_await loop.sleep_for(1h);
}
Task<void> hold_below(RunLoop& loop, int& gone) {
    const Witness witness(gone);
    co_await hold(loop, gone);
}

TEST(Task, UnfinishedIsDestroyedFromTheInsideOut) {
    RunLoop loop;
    int gone = 0;
    {
        Task<void> task = hold_below(loop, gone);
        task.start();
        loop.turn(Clock::now());
        EXPECT_EQ(gone, 0);
    }
    EXPECT_EQ(gone, 2);
    loop.turn(Clock::now());  // nothing of it comes any more
}

TEST(Task, LocalsOfAFinishedChildAreGoneBeforeItsParentGoesOn) {
    int gone = 0;
    static const auto child = [](int& count) -> Task<int> {
        const Witness witness(count);
        co_return 1;
    };
    const auto parent = [](int& count) -> Task<int> {
        const int result = co_await child(count);
        co_return result * 10 + count;
    };
    RunLoop loop;
    auto task = parent(gone);
    EXPECT_EQ(loop.run(std::move(task)), 11);
    EXPECT_EQ(gone, 1);
}

TEST(Task, MoveAssignmentDestroysWhatWasThere) {
    int gone = 0;
    const auto body = [](Witness) -> Task<void> { co_return; };
    Witness first(gone);
    Witness second(gone);
    Task<void> task = body(std::move(first));
    task = body(std::move(second));
    EXPECT_EQ(gone, 1);
    task = Task<void>();
    EXPECT_EQ(gone, 2);
    EXPECT_FALSE(static_cast<bool>(task));
}

TEST(Task, CannotBeAwaitedTwiceOrEmpty) {
    RunLoop loop;
    const auto twice = []() -> Task<void> {
        auto child = give(1);
        co_await std::move(child);
        co_await std::move(child);  // NOLINT(bugprone-use-after-move): it must be refused
    };
    EXPECT_THROW(loop.run(twice()), std::logic_error);
    EXPECT_THROW(loop.run(Task<int>()), std::logic_error);
}

// ---- cancellation ----

/// Awaits in several ways, one after the other, and counts how far it came.
Task<void> long_road(RunLoop& loop, int& passed, bool& cancelled) {
    try {
        co_await loop.sleep_for(1h);
        ++passed;
        co_await loop.sleep_for(1h);
        ++passed;
        int unused = 0;
        co_await hold(loop, unused);
        ++passed;
    } catch (const Cancelled&) {
        cancelled = true;
        throw;
    }
}

TEST(TaskCancel, ReachesTheLeaf) {
    RunLoop loop;
    int passed = 0;
    int gone = 0;
    bool cancelled = false;
    const auto outer = [](RunLoop& on, int& count, bool& flag, int& left) -> Task<void> {
        const Witness witness(left);
        co_await long_road(on, count, flag);
    };
    Task<void> task = outer(loop, passed, cancelled, gone);
    task.start();
    loop.turn(Clock::now());
    task.cancel();
    const auto begin = Clock::now();
    while (!task.done())
        loop.turn(begin + 5s);
    EXPECT_LT(Clock::now() - begin, 1s);
    EXPECT_TRUE(cancelled);
    EXPECT_EQ(passed, 0);
    EXPECT_EQ(gone, 1);
    EXPECT_THROW(task.take_result(), Cancelled);
}

/// Runs `make()`'s task, cancelling it once at the `stop_at`-th turn; every await point is met by some value.
template <class Make>
int cancel_at_turn(RunLoop& loop, int stop_at, Make make) {
    Task<int> task = make();
    for (int i = 0; i < stop_at && task.done() == false; ++i) {
        if (i == 0)
            task.start();
        else
            loop.turn(Clock::now() + 5s);
    }
    task.cancel();
    if (stop_at == 0)
        task.start();
    while (!task.done())
        loop.turn(Clock::now() + 5s);
    try {
        return task.take_result();
    } catch (const Cancelled&) {
        return -1;
    }
}

Task<int> step(RunLoop& loop, int& gone, int& begun) {
    ++begun;
    const Witness witness(gone);
    co_await loop.sleep_for(100us);
    co_return 1;
}

TEST(TaskCancel, AtEveryAwaitPointEndsTheTaskAndDestroysItsLocals) {
    RunLoop loop;
    constexpr int steps = 5;
    int finished = 0;
    for (int stop_at = 0; stop_at < 12; ++stop_at) {
        int gone = 0;
        int begun = 0;
        const auto body = [](RunLoop& on, int& count, int& entered) -> Task<int> {
            int total = 0;
            for (int i = 0; i < steps; ++i) {
                total += co_await step(on, count, entered);
            }
            co_return total;
        };
        const int result = cancel_at_turn(loop, stop_at, [&] { return body(loop, gone, begun); });
        EXPECT_TRUE(result == -1 || result == steps) << "at turn " << stop_at;
        if (stop_at == 0) {
            EXPECT_EQ(result, -1);
            EXPECT_EQ(gone, 0) << "a pending cancellation meets the first await, before the child starts";
        } else {
            EXPECT_EQ(gone, begun) << "at turn " << stop_at;
        }
        finished += result == steps ? 1 : 0;
    }
    EXPECT_GT(finished, 0) << "the last values of stop_at lie behind the end";
    EXPECT_LT(finished, 8);
}

TEST(TaskCancel, BeforeTheStartMeetsTheFirstAwait) {
    RunLoop loop;
    int passed = 0;
    bool cancelled = false;
    Task<void> task = long_road(loop, passed, cancelled);
    task.cancel();
    EXPECT_FALSE(cancelled);
    EXPECT_THROW(loop.run(std::move(task)), Cancelled);
    EXPECT_TRUE(cancelled);
}

TEST(TaskCancel, WhileRunningSticksToTheNextAwait) {
    RunLoop loop;
    Task<void>* self = nullptr;
    int reached = 0;
    const auto body = [](RunLoop& on, Task<void>*& me, int& where) -> Task<void> {
        co_await on.sleep_for(1us);
        me->cancel();
        where = 1;
        co_await on.sleep_for(1h);
        where = 2;
    };
    Task<void> task = body(loop, self, reached);
    self = &task;
    task.start();
    while (!task.done())
        loop.turn(Clock::now() + 5s);
    EXPECT_THROW(task.take_result(), Cancelled);
    EXPECT_EQ(reached, 1);
}

TEST(TaskCancel, OfAChildThatThenEndsSticksToTheParentsNextAwait) {
    RunLoop loop;
    Task<int>* root = nullptr;
    static const auto child = [](RunLoop& on, Task<int>*& top) -> Task<int> {
        co_await on.sleep_for(1us);
        top->cancel();
        co_return 1;
    };
    const auto parent = [](RunLoop& on, Task<int>*& top) -> Task<int> {
        const int from_child = co_await child(on, top);
        try {
            co_await on.sleep_for(1h);
        } catch (const Cancelled&) {
            co_return from_child + 10;
        }
        co_return 0;
    };
    Task<int> task = parent(loop, root);
    root = &task;
    task.start();
    while (!task.done())
        loop.turn(Clock::now() + 5s);
    EXPECT_EQ(task.take_result(), 11);
}

TEST(TaskCancel, IsDeliveredOnceSoCleanUpMayAwait) {
    RunLoop loop;
    bool cleaned = false;
    const auto body = [](RunLoop& on, bool& flag) -> Task<void> {
        bool cancelled = false;
        try {
            co_await on.sleep_for(1h);
        } catch (const Cancelled&) {
            cancelled = true;
        }
        co_await on.sleep_for(1ms);
        flag = cancelled;
    };
    Task<void> task = body(loop, cleaned);
    task.start();
    loop.turn(Clock::now());
    task.cancel();
    task.cancel();  // twice before it is delivered is once
    while (!task.done())
        loop.turn(Clock::now() + 5s);
    task.take_result();
    EXPECT_TRUE(cleaned);
}

TEST(TaskCancel, HandlersOfErrorsDoNotEatIt) {
    RunLoop loop;
    const auto body = [](RunLoop& on) -> Task<void> {
        try {
            co_await on.sleep_for(1h);
        } catch (const std::exception&) {
            ADD_FAILURE() << "Cancelled is no std::exception";
        }
    };
    Task<void> task = body(loop);
    task.cancel();
    EXPECT_THROW(loop.run(std::move(task)), Cancelled);
}

TEST(TaskCancel, OfAFinishedOrEmptyTaskDoesNothing) {
    RunLoop loop;
    Task<int> task = give(3);
    task.start();
    task.cancel();
    EXPECT_EQ(task.take_result(), 3);
    Task<int>().cancel();
}

}  // namespace
}  // namespace outboard
