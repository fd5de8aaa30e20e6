#include "outboard/sim/fault_injector.hpp"

#include <string>
#include <vector>

#include "tests/support/expect_error.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::sim {
namespace {

using ::testing::ElementsAre;

FaultPlan plan_of(std::vector<FaultRule> rules, std::uint64_t seed = 1) {
    return {.seed = seed, .rules = std::move(rules)};
}

/// At which of `opportunities` a kind struck, counted from 1.
std::vector<int> struck_at(FaultInjector& injector, FaultKind kind, int opportunities) {
    std::vector<int> when;
    for (int i = 1; i <= opportunities; ++i)
        if (injector.strike(kind))
            when.push_back(i);
    return when;
}

TEST(FaultInjector, WithoutAPlanNothingStrikes) {
    FaultInjector injector;
    EXPECT_TRUE(struck_at(injector, FaultKind::all_ones, 100).empty());
    EXPECT_EQ(injector.struck(), 0U);
}

TEST(FaultInjector, StrikesAfterSoManyOpportunitiesAndSoOften) {
    FaultInjector injector;
    injector.follow(plan_of({{.kind = FaultKind::status_error, .after = 3, .count = 2}}));
    EXPECT_THAT(struck_at(injector, FaultKind::status_error, 10), ElementsAre(4, 5));
    EXPECT_TRUE(struck_at(injector, FaultKind::data_torn, 10).empty());
    EXPECT_EQ(injector.struck(FaultKind::status_error), 2U);
    EXPECT_EQ(injector.struck(), 2U);
}

TEST(FaultInjector, TheSameSeedGivesTheSameFaults) {
    const FaultPlan plan = plan_of({{.kind = FaultKind::interrupt_drop, .one_in = 10}}, 42);
    FaultInjector first;
    first.follow(plan);
    FaultInjector second;
    second.follow(plan);
    const auto faults = struck_at(first, FaultKind::interrupt_drop, 10000);
    EXPECT_EQ(faults, struck_at(second, FaultKind::interrupt_drop, 10000));
    EXPECT_NEAR(static_cast<double>(faults.size()), 1000, 150);
    FaultInjector other;
    other.follow(plan_of(plan.rules, 43));
    EXPECT_NE(faults, struck_at(other, FaultKind::interrupt_drop, 10000));
}

TEST(FaultInjector, KindsDoNotDisturbOneAnother) {
    const FaultPlan plan = plan_of(
        {{.kind = FaultKind::interrupt_drop, .one_in = 10}, {.kind = FaultKind::status_error, .one_in = 10}});
    FaultInjector alone;
    alone.follow(plan);
    const auto expected = struck_at(alone, FaultKind::interrupt_drop, 1000);
    FaultInjector mixed;
    mixed.follow(plan);
    struck_at(mixed, FaultKind::status_error, 500);
    EXPECT_EQ(struck_at(mixed, FaultKind::interrupt_drop, 1000), expected);
}

TEST(FaultInjector, AnOrderStrikesOnce) {
    FaultInjector injector;
    injector.order(FaultKind::data_torn);
    EXPECT_THAT(struck_at(injector, FaultKind::data_torn, 5), ElementsAre(1));
    injector.order(FaultKind::data_torn);
    EXPECT_TRUE(injector.take_back(FaultKind::data_torn));
    EXPECT_FALSE(injector.take_back(FaultKind::data_torn));
    EXPECT_TRUE(struck_at(injector, FaultKind::data_torn, 5).empty());
}

TEST(FaultInjector, FaultsAreNumberedAndLogged) {
    FaultInjector injector;
    injector.follow(plan_of({{.kind = FaultKind::wrong_head, .after = 1, .count = 1, .delay_us = 7}}));
    std::vector<std::string> log;
    injector.set_log([&](std::string_view line) { log.emplace_back(line); });
    injector.order(FaultKind::all_ones);
    EXPECT_EQ(injector.strike(FaultKind::all_ones).value_or(Strike{}).number, 1U);
    EXPECT_FALSE(injector.strike(FaultKind::wrong_head));
    const Strike strike = injector.strike(FaultKind::wrong_head).value_or(Strike{});
    EXPECT_EQ(strike.number, 2U);
    EXPECT_EQ(strike.delay_us, 7U);
    EXPECT_THAT(log, ElementsAre("fault 1: all-ones", "fault 2: wrong-head"));
}

TEST(FaultInjector, TwoRulesOfAKindAreRefused) {
    FaultInjector injector;
    EXPECT_ERROR(injector.follow(plan_of({{.kind = FaultKind::all_ones}, {.kind = FaultKind::all_ones}})),
                 ErrorKind::usage,
                 "cannot use the fault plan: it has two rules for all-ones; give one rule for each kind");
}

}  // namespace
}  // namespace outboard::sim
