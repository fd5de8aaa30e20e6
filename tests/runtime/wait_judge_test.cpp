#include "outboard/runtime/wait_judge.hpp"

#include <gtest/gtest.h>

namespace outboard::test {
namespace {

using namespace std::chrono_literals;

class WaitJudgeTest : public testing::Test {
  protected:
    /// Requests one after the other, each answered after `wait`, with `pause` before the next.
    void requests(unsigned count, Duration wait, Duration pause) {
        for (unsigned i = 0; i < count; ++i) {
            judge.observe(now, 1, ended);
            now += wait;
            judge.observe(now, 0, ++ended);
            now += pause;
            judge.observe(now, 0, ended);
        }
    }

    WaitJudge judge;
    TimePoint now = TimePoint{} + 1h;
    std::uint64_t ended = 0;
};

TEST_F(WaitJudgeTest, SleepsUntilItKnowsBetter) {
    judge.observe(now, 1, 0);
    EXPECT_FALSE(WaitJudge().look());
    EXPECT_FALSE(judge.look());
}

TEST_F(WaitJudgeTest, LooksForFastAnswersAlsoWhenTheyAreRare) {
    requests(100, 2us, 5ms);
    EXPECT_TRUE(judge.look());
}

TEST_F(WaitJudgeTest, LooksForSlowerAnswersOnlyWhileRequestsFollowOneAnother) {
    requests(100, 80us, 5us);
    EXPECT_TRUE(judge.look());
    requests(100, 80us, 1ms);
    EXPECT_FALSE(judge.look());
}

TEST_F(WaitJudgeTest, SleepsWhereAnswersAreSlowerThanIsWorthIt) {
    requests(100, 500us, 0us);
    EXPECT_FALSE(judge.look());
}

TEST_F(WaitJudgeTest, AnswersThatFollowOneAnotherLeaveNoPause) {
    requests(20, 80us, 10ms);
    judge.observe(now, 8, ended);
    for (unsigned i = 0; i < 100; ++i) {
        now += 50us;
        judge.observe(now, 8, ++ended);
    }
    EXPECT_TRUE(judge.look());
}

TEST_F(WaitJudgeTest, OneLatePauseOrAnswerIsSoonForgotten) {
    requests(100, 20us, 1us);
    ASSERT_TRUE(judge.look());
    requests(1, 20us, 10s);
    requests(30, 20us, 1us);
    EXPECT_TRUE(judge.look());
}

TEST_F(WaitJudgeTest, LooksAtOnceUntilTheAnswerIsLateAndThenLessAndLess) {
    requests(100, 5us, 5us);
    judge.observe(now, 1, ended);
    EXPECT_EQ(judge.next_look(now), now);
    EXPECT_EQ(judge.next_look(now + 15us), now + 15us);
    EXPECT_EQ(judge.next_look(now + 100us), now + 125us);
    EXPECT_EQ(judge.next_look(now + 1s), now + 1s + 1ms);
}

}  // namespace
}  // namespace outboard::test
