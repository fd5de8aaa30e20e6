#include "outboard/runtime/all.hpp"

#include <chrono>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace outboard::test {
namespace {

using namespace std::chrono_literals;

Task<void> nap(RunLoop& loop, Duration duration, int& ended) {
    co_await loop.sleep_for(duration);
    ++ended;
}

Task<void> fail(RunLoop& loop) {
    co_await loop.sleep_for(1ms);
    throw std::runtime_error("no more");
}

Task<void> at_once(int& ended) {
    ++ended;
    co_return;
}

class All : public testing::Test {
  protected:
    RunLoop loop;
    std::vector<Task<void>> tasks;
    int ended = 0;
};

TEST_F(All, OfNothingEndsAtOnce) {
    loop.run(all(loop, {}));
}

TEST_F(All, EndsWithTheLastAndRunsThemAtTheSameTime) {
    const TimePoint begin = Clock::now();
    for (int i = 0; i < 100; ++i)
        tasks.push_back(nap(loop, 20ms, ended));
    tasks.push_back(at_once(ended));
    loop.run(all(loop, std::move(tasks)));
    EXPECT_EQ(ended, 101);
    EXPECT_GE(Clock::now() - begin, 20ms);
    EXPECT_LT(Clock::now() - begin, 1900ms);
}

TEST_F(All, CancelsTheOthersWhenOneFails) {
    tasks.push_back(nap(loop, 1h, ended));
    tasks.push_back(fail(loop));
    tasks.push_back(nap(loop, 1h, ended));
    EXPECT_THROW(loop.run(all(loop, std::move(tasks))), std::runtime_error);
    EXPECT_EQ(ended, 0);
}

TEST_F(All, IsCancelledWithAllOfThem) {
    tasks.push_back(nap(loop, 1h, ended));
    tasks.push_back(nap(loop, 1h, ended));
    loop.stop();
    EXPECT_THROW(loop.run(all(loop, std::move(tasks))), Cancelled);
    EXPECT_EQ(ended, 0);
}

}  // namespace
}  // namespace outboard::test
