#include "outboard/sim/fault_plan.hpp"

#include "tests/support/expect_error.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::sim {
namespace {

using ::testing::HasSubstr;

TEST(FaultPlan, ReadsRulesAndSeed) {
    const FaultPlan plan = parse_fault_plan(R"(
seed = 7
[[fault]]
kind = "interrupt-drop"
after = 100
one_in = 1000
count = 5
[[fault]]
kind = "completion-delay"
delay_us = 2000
)",
                                            "plan");
    EXPECT_EQ(plan.seed, 7U);
    ASSERT_EQ(plan.rules.size(), 2U);
    EXPECT_EQ(plan.rules[0].kind, FaultKind::interrupt_drop);
    EXPECT_EQ(plan.rules[0].after, 100U);
    EXPECT_EQ(plan.rules[0].one_in, 1000U);
    EXPECT_EQ(plan.rules[0].count, 5U);
    EXPECT_EQ(plan.rules[1].kind, FaultKind::completion_delay);
    EXPECT_EQ(plan.rules[1].one_in, 1U);
    EXPECT_EQ(plan.rules[1].delay_us, 2000U);
}

TEST(FaultPlan, AnEmptyPlanHasNoFaults) {
    EXPECT_TRUE(parse_fault_plan("", "plan").rules.empty());
}

TEST(FaultPlan, EveryKindHasANameOfItsOwn) {
    for (std::size_t i = 0; i < fault_kinds; ++i)
        EXPECT_EQ(fault_kind(name_of(static_cast<FaultKind>(i))), static_cast<FaultKind>(i));
}

TEST(FaultPlan, SaysWhereItIsWrong) {
    EXPECT_ERROR(parse_fault_plan("seed = 1\nseeds = 2\n", "plan.toml"), ErrorKind::usage,
                 "cannot read plan.toml, line 2, column 9: 'seeds' is unknown; a plan has a seed and "
                 "[[fault]] tables; "
                 "docs/sim.md says what a fault plan is");
    const auto message = [](std::string_view text) {
        return std::string(test::error_of([&] { parse_fault_plan(text, "plan"); }).what());
    };
    EXPECT_THAT(message("seed = "), HasSubstr("cannot read plan, line 1"));
    EXPECT_THAT(message("seed = -1"), HasSubstr("not negative"));
    EXPECT_THAT(message("seed = 1.5"), HasSubstr("not negative"));
    EXPECT_THAT(message("[[fault]]\nkind = 'teapot'"),
                HasSubstr("line 2, column 8: there is no kind of fault 'teapot'"));
    EXPECT_THAT(message("[[fault]]\none_in = 5"), HasSubstr("a fault needs a kind"));
    EXPECT_THAT(message("[[fault]]\nkind = 'all-ones'\none_in = 0"),
                HasSubstr("'one_in' is no number of a fault"));
    EXPECT_THAT(message("[[fault]]\nkind = 'all-ones'\nafter = '5'"), HasSubstr("'after' is no number"));
    EXPECT_THAT(message("[[fault]]\nkind = 'all-ones'\ndelay_us = 60000001"), HasSubstr("out of range"));
    EXPECT_THAT(message("[fault]\nkind = 'all-ones'"), HasSubstr("'fault' is unknown"));
    EXPECT_THAT(message("[{"), HasSubstr("cannot read plan, line 1"));  // toml++ asserts that it is not so
    EXPECT_THAT(message("\u0264["), HasSubstr("cannot read plan, line 1"));  // toml++ has undefined behaviour
}

TEST(FaultPlan, CommentsMayHaveAnyCharacter) {
    EXPECT_EQ(parse_fault_plan("\xef\xbb\xbf# h\u00f6chstens \u0264\nseed = 7 # \u00e9\n", "plan").seed, 7U);
}

TEST(FaultPlan, ReadsAnOption) {
    const FaultRule rule = parse_fault_rule("data-torn,after=3,one_in=10,count=2,delay_us=5");
    EXPECT_EQ(rule.kind, FaultKind::data_torn);
    EXPECT_EQ(rule.after, 3U);
    EXPECT_EQ(rule.one_in, 10U);
    EXPECT_EQ(rule.count, 2U);
    EXPECT_EQ(rule.delay_us, 5U);
    EXPECT_EQ(parse_fault_rule("all-ones").kind, FaultKind::all_ones);
}

TEST(FaultPlan, RefusesOptionsThatAreWrong) {
    for (const char* text : {"", "teapot", "all-ones,", "all-ones,after",
                             "all-ones,after=", "all-ones,after=x", "all-ones,after=1x", "all-ones,one_in=0",
                             "all-ones,after=-1", "all-ones,,after=1", "all-ones,after=99999999999999999999"})
        EXPECT_EQ(test::error_of([&] { parse_fault_rule(text); }).kind(), ErrorKind::usage) << text;
}

TEST(FaultPlan, AFileThatIsNotThereIsSaid) {
    EXPECT_THAT(test::error_of([] { read_fault_plan("/nowhere/plan.toml"); }).what(),
                HasSubstr("cannot read /nowhere/plan.toml: No such file or directory"));
}

}  // namespace
}  // namespace outboard::sim
