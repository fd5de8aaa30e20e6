// CompletionPredictor against devices whose service times are drawn from known distributions: what sleeping
// adds to the latency, and how much of the time is spun.
#include "outboard/runtime/adaptive_poll.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

Duration microseconds(double value) {
    return Duration(std::llround(value * 1000));
}
double as_microseconds(Duration duration) {
    return std::chrono::duration<double, std::micro>(duration).count();
}

/// A device and a thread that polls it, on a clock of their own.
struct Machine {
    std::function<Duration()> service;
    std::function<Duration()> oversleep = [] { return 50us; };
    Duration look_cost = 2500ns;  ///< one register read
    RequestClass request_class = 0;
};

struct Outcome {
    double typical_us = 0;  ///< mean service time
    double added_us = 0;    ///< mean time between the device's end and the look that saw it
    double added_p99_us = 0;
    double spun = 0;    ///< share of the service time spent looking without a pause
    double sleeps = 0;  ///< per request
};

class Bench {
  public:
    explicit Bench(const PredictorOptions& options = {}) : predictor(options) {}

    /// One request; returns what seeing its end late added.
    Duration request(const Machine& machine) {
        const TimePoint begin = now;
        const Duration service = machine.service();
        predictor.started(machine.request_class, now);
        for (;;) {
            const TimePoint look = predictor.next_look(now);
            if (look > now) {
                now = look + machine.oversleep();
                ++sleeps;
            } else {
                spun += machine.look_cost;
            }
            const bool finished = now >= begin + service;
            now += machine.look_cost;
            ++looks;
            if (finished)
                break;
            predictor.looked(now);
        }
        predictor.finished(now);
        const Duration added = now - begin - service;
        total_service += service;
        now += 10us;
        return added;
    }

    Outcome run(const Machine& machine, int requests) {
        spun = total_service = Duration::zero();
        sleeps = 0;
        std::vector<double> added;
        for (int i = 0; i < requests; ++i)
            added.push_back(as_microseconds(request(machine)));
        Outcome outcome;
        for (const double value : added)
            outcome.added_us += value / requests;
        std::ranges::sort(added);
        outcome.added_p99_us = added[added.size() * 99 / 100];
        outcome.typical_us = as_microseconds(total_service) / requests;
        outcome.spun = as_microseconds(spun) / as_microseconds(total_service);
        outcome.sleeps = static_cast<double>(sleeps) / requests;
        return outcome;
    }

    CompletionPredictor predictor;
    TimePoint now = TimePoint(1h);
    Duration spun{};
    Duration total_service{};
    int sleeps = 0;
    int looks = 0;
};

class AdaptivePoll : public testing::Test {
  protected:
    std::mt19937_64 random{20240601};

    double uniform(double low, double high) {
        return low + (high - low) * (static_cast<double>(random() >> 11) * 0x1p-53);
    }
    /// Roughly normal: mean 0, standard deviation 1.
    double normal() {
        double sum = 0;
        for (int i = 0; i < 12; ++i)
            sum += uniform(0, 1);
        return sum - 6;
    }
    /// Wakes 20–80 us late, one in fifty up to 400 us.
    Duration jittery_wake() {
        return microseconds(uniform(0, 1) < 0.02 ? uniform(80, 400) : uniform(20, 80));
    }
};

void print(const char* name, const Outcome& outcome) {
    std::printf("%-28s service %8.1f us, added %6.1f us (p99 %6.1f), spun %4.1f %%, %.2f sleeps\n", name,
                outcome.typical_us, outcome.added_us, outcome.added_p99_us, 100 * outcome.spun,
                outcome.sleeps);
}

TEST_F(AdaptivePoll, ConstantServiceTime) {
    Bench bench;
    const Machine machine{.service = [] { return 300us; }};
    bench.run(machine, 100);
    const auto outcome = bench.run(machine, 2000);
    print("constant", outcome);
    EXPECT_LT(outcome.added_us, 0.03 * 300);
    EXPECT_LT(outcome.spun, 0.20);
}

TEST_F(AdaptivePoll, JitterInServiceAndWakeUp) {
    Bench bench;
    const Machine machine{.service = [&] { return microseconds(300 * (1 + 0.05 * normal())); },
                          .oversleep = [&] { return jittery_wake(); }};
    bench.run(machine, 200);
    const auto outcome = bench.run(machine, 5000);
    print("jitter", outcome);
    EXPECT_LT(outcome.added_us, 0.05 * 300);
    EXPECT_LT(outcome.spun, 0.35);
}

TEST_F(AdaptivePoll, Bimodal) {
    Bench bench;
    const Machine machine{
        .service =
            [&] { return microseconds(uniform(0, 1) < 0.5 ? uniform(180, 220) : uniform(3800, 4200)); },
        .oversleep = [&] { return jittery_wake(); }};
    bench.run(machine, 200);
    const auto outcome = bench.run(machine, 5000);
    print("bimodal", outcome);
    EXPECT_LT(outcome.added_us, 40) << "2 % of the mean";
    EXPECT_LT(outcome.spun, 0.15);
}

TEST_F(AdaptivePoll, HeavyTail) {
    Bench bench;
    const Machine machine{.service = [&] { return microseconds(200 / std::pow(uniform(1e-4, 1), 0.5)); },
                          .oversleep = [&] { return jittery_wake(); }};
    bench.run(machine, 200);
    const auto outcome = bench.run(machine, 5000);
    print("heavy tail", outcome);
    EXPECT_LT(outcome.added_us, 0.08 * outcome.typical_us);
    EXPECT_LT(outcome.spun, 0.6);
}

TEST_F(AdaptivePoll, MemorylessServiceSpinsWithinItsLimit) {
    Bench bench;
    const Machine machine{.service = [&] { return microseconds(-2000 * std::log(uniform(1e-9, 1))); },
                          .oversleep = [&] { return jittery_wake(); }};
    bench.run(machine, 200);
    const auto outcome = bench.run(machine, 5000);
    print("memoryless", outcome);
    EXPECT_LT(outcome.added_us, 0.12 * outcome.typical_us);
    EXPECT_LT(outcome.spun, 0.2);
}

TEST_F(AdaptivePoll, FollowsADrift) {
    Bench bench;
    double typical = 200;
    const Machine machine{.service =
                              [&] {
                                  typical *= 1.0005;  // up to 600 in some 2200 requests
                                  return microseconds(typical * (1 + 0.03 * normal()));
                              },
                          .oversleep = [&] { return jittery_wake(); }};
    bench.run(machine, 200);
    const auto up = bench.run(machine, 2000);
    print("drift up", up);
    EXPECT_LT(up.added_us, 0.05 * up.typical_us);
    EXPECT_LT(up.spun, 0.40);
    const Machine back{.service =
                           [&] {
                               typical /= 1.0005;
                               return microseconds(typical * (1 + 0.03 * normal()));
                           },
                       .oversleep = [&] { return jittery_wake(); }};
    const auto down = bench.run(back, 2000);
    print("drift down", down);
    EXPECT_LT(down.added_us, 0.06 * down.typical_us);
    EXPECT_LT(down.spun, 0.40);
}

TEST_F(AdaptivePoll, ADeviceThatBecomesFasterIsNoticed) {
    Bench bench;
    const auto wake = [&] { return jittery_wake(); };
    bench.run({.service = [] { return 1000us; }, .oversleep = wake}, 300);
    const Machine fast{.service = [&] { return microseconds(uniform(240, 260)); }, .oversleep = wake};
    const auto first = bench.run(fast, 100);
    print("faster, first 100", first);
    const auto later = bench.run(fast, 500);
    print("faster, then", later);
    EXPECT_LT(later.added_us, 0.06 * 250);
}

TEST_F(AdaptivePoll, ADeviceThatBecomesSlowerIsNoticed) {
    Bench bench;
    const auto wake = [&] { return jittery_wake(); };
    bench.run({.service = [] { return 200us; }, .oversleep = wake}, 300);
    const Machine slow{.service = [&] { return microseconds(uniform(1900, 2100)); }, .oversleep = wake};
    bench.run(slow, 50);
    const auto later = bench.run(slow, 500);
    print("slower, then", later);
    EXPECT_LT(later.added_us, 0.03 * 2000);
    EXPECT_LT(later.spun, 0.15);
}

TEST_F(AdaptivePoll, SpinsWhenTheServiceIsShorterThanASleepCosts) {
    Bench bench;
    const Machine machine{.service = [&] { return microseconds(uniform(18, 22)); },
                          .oversleep = [&] { return jittery_wake(); }};
    bench.run(machine, 200);
    const auto outcome = bench.run(machine, 5000);
    print("short", outcome);
    EXPECT_LT(outcome.added_us, 6) << "two looks";
    EXPECT_LT(outcome.sleeps, 0.05);
}

TEST_F(AdaptivePoll, SleepsAgainAfterATimeOfBadWakeUps) {
    Bench bench;
    const auto service = [&] { return microseconds(uniform(280, 320)); };
    bench.run({.service = service, .oversleep = [] { return 5ms; }}, 300);
    const Machine calm{.service = service, .oversleep = [] { return 20us; }};
    bench.run(calm, 6000);
    const auto outcome = bench.run(calm, 1000);
    print("calm again", outcome);
    EXPECT_GT(outcome.sleeps, 0.9);
    EXPECT_LT(outcome.spun, 0.35);
}

TEST_F(AdaptivePoll, LearnsHowLateSleepsEnd) {
    Bench bench;
    bench.run({.service = [] { return 1000us; }, .oversleep = [] { return 120us; }}, 300);
    EXPECT_NEAR(as_microseconds(bench.predictor.oversleep()), 120, 10);
    EXPECT_NEAR(as_microseconds(bench.predictor.typical(0)), 1000, 60);
}

TEST_F(AdaptivePoll, ClassesAreKeptApart) {
    Bench bench;
    const Machine small{.service = [] { return 100us; }, .oversleep = [] { return 5us; }, .request_class = 1};
    const Machine large{
        .service = [] { return 2000us; }, .oversleep = [] { return 5us; }, .request_class = 2};
    double added = 0;
    for (int i = 0; i < 500; ++i) {
        const Duration first = bench.request(small);
        const Duration second = bench.request(large);
        if (i >= 100)
            added += as_microseconds(first + second) / 400;
    }
    EXPECT_LT(added, 20);
    EXPECT_NEAR(as_microseconds(bench.predictor.typical(1)), 100, 8);
    EXPECT_NEAR(as_microseconds(bench.predictor.typical(2)), 2000, 130);
}

TEST_F(AdaptivePoll, ADeviceThatNeverAnswersCostsLittle) {
    Bench bench;
    bench.run({.service = [] { return 200us; }}, 100);
    bench.looks = 0;
    bench.spun = Duration::zero();
    bench.request({.service = [] { return 10s; }});
    EXPECT_LT(bench.spun, 1ms);
    EXPECT_LT(bench.looks, 10s / 5ms + 300);
}

TEST_F(AdaptivePoll, NothingOutstandingIsNeverLookedFor) {
    CompletionPredictor predictor;
    const TimePoint now(1h);
    EXPECT_EQ(predictor.next_look(now), TimePoint::max());
    predictor.started(0, now);
    EXPECT_TRUE(predictor.outstanding());
    EXPECT_LE(predictor.next_look(now), now) << "nothing is known: look at once";
    EXPECT_EQ(predictor.next_look(now + 1s), now + 1s);
    predictor.finished(now + 10us);
    EXPECT_EQ(predictor.next_look(now), TimePoint::max());
    predictor.started(0, now);
    predictor.abandoned();
    EXPECT_FALSE(predictor.outstanding());
    EXPECT_EQ(predictor.next_look(now), TimePoint::max());
    predictor.looked(now);
    predictor.finished(now);  // without a request they say nothing
    EXPECT_EQ(predictor.next_look(now), TimePoint::max());
}

TEST_F(AdaptivePoll, BeingWokenEarlyTeachesNothingAboutSleeping) {
    Bench bench;
    const Machine machine{.service = [] { return 1000us; }, .oversleep = [] { return 30us; }};
    bench.run(machine, 300);
    const auto before = bench.predictor.oversleep();
    const TimePoint begin = bench.now;
    bench.predictor.started(0, begin);
    ASSERT_GT(bench.predictor.next_look(begin), begin + 500us);
    bench.predictor.looked(begin + 100us);  // another event turned the loop
    EXPECT_EQ(bench.predictor.oversleep(), before);
    EXPECT_GT(bench.predictor.next_look(begin + 100us), begin + 500us) << "and goes on sleeping";
}

TEST_F(AdaptivePoll, TheSameHistoryGivesTheSamePlan) {
    std::vector<TimePoint> plans[2];
    for (auto& plan : plans) {
        std::mt19937_64 same(7);
        CompletionPredictor predictor;
        TimePoint now(1h);
        for (int i = 0; i < 300; ++i) {
            predictor.started(static_cast<RequestClass>(i % 3), now);
            plan.push_back(predictor.next_look(now));
            now = std::max(plan.back(), now) + std::chrono::microseconds(same() % 300);
            predictor.finished(now);
        }
    }
    EXPECT_EQ(plans[0], plans[1]);
}

TEST(RequestClass, ByOperationAndSize) {
    EXPECT_EQ(request_class(0, 0), 0);
    EXPECT_EQ(request_class(0, 512), 0);
    EXPECT_EQ(request_class(0, 513), 1);
    EXPECT_EQ(request_class(0, 4096), 3);
    EXPECT_EQ(request_class(0, 1 << 20), 11);
    EXPECT_EQ(request_class(0, (1 << 20) + 1), 12);
    EXPECT_EQ(request_class(0, ~0ULL), 12);
    EXPECT_EQ(request_class(1, 512), 13);
    EXPECT_EQ(request_class(3, ~0ULL), 51);
    CompletionPredictor few(PredictorOptions{.classes = 1});
    few.started(999, TimePoint(1h));  // beyond the last: counted as that
    few.finished(TimePoint(1h) + 100us);
    EXPECT_GT(few.typical(0), 90us);
}

// ---- the distribution underneath ----

TEST(DecayingHistogram, QuantilesOfAUniformDistribution) {
    DecayingHistogram histogram(1e6);
    for (int i = 1; i <= 10'000; ++i)
        histogram.add(std::chrono::microseconds(i));
    for (const double fraction : {0.05, 0.1, 0.5, 0.9, 0.99}) {
        EXPECT_NEAR(as_microseconds(histogram.quantile(fraction)), 10'000 * fraction,
                    10'000 * fraction * 0.03);
        EXPECT_NEAR(histogram.fraction_up_to(microseconds(10'000 * fraction)), fraction, 0.005);
    }
}

TEST(DecayingHistogram, LooksBeforeTheShareThatMayBeLate) {
    DecayingHistogram histogram(1e6);
    for (int i = 0; i < 10'000; ++i)
        histogram.add(microseconds(1000 + i * 0.1));  // evenly over 1000 … 2000 us
    EXPECT_NEAR(as_microseconds(histogram.look_after(0us, 0.1, 1)), 1100, 10);
    EXPECT_NEAR(as_microseconds(histogram.look_after(1500us, 0.1, 1)), 1550, 10);
    // A look at 1000 + x is late by x^2 / 2000 on average: 1 % of its time at x = 152.
    EXPECT_NEAR(as_microseconds(histogram.look_after(0us, 1, 0.01)), 1152, 15);
    EXPECT_EQ(histogram.look_after(3000us, 0.1, 1), 3000us) << "nothing is known beyond";
    EXPECT_GE(histogram.look_after(1999us, 0.1, 0.01), 1999us);
}

TEST(DecayingHistogram, AFewStragglersOfAFirstGroupAreNotLeftForTheSecond) {
    DecayingHistogram histogram(1e6);
    for (int i = 0; i < 1000; ++i)
        histogram.add(i < 50 ? 200us : 4000us);
    EXPECT_LT(histogram.look_after(100us, 0.1, 0.01), 300us);
    EXPECT_NEAR(as_microseconds(histogram.look_after(300us, 0.1, 0.01)), 4000, 240);
}

TEST(DecayingHistogram, HalvesOldWeights) {
    DecayingHistogram histogram(10);
    for (int i = 0; i < 1000; ++i)
        histogram.add(1ms);
    EXPECT_NEAR(histogram.weight(), 10 * 1.44, 1);
    for (int i = 0; i < 10; ++i)
        histogram.add(1us);
    EXPECT_NEAR(histogram.fraction_up_to(10us), 0.5, 0.01);
}

TEST(DecayingHistogram, StaysExactOverAMillionSamples) {
    DecayingHistogram histogram(64);
    for (int i = 0; i < 1'000'000; ++i)
        histogram.add(i % 4 == 0 ? 10us : 1000us);
    EXPECT_NEAR(histogram.fraction_up_to(100us), 0.25, 0.02);
    EXPECT_NEAR(histogram.weight(), 64 * 1.44, 1.5);
}

TEST(DecayingHistogram, TakesAnyDuration) {
    DecayingHistogram histogram;
    EXPECT_EQ(histogram.quantile(0.5), Duration::zero());
    EXPECT_EQ(histogram.fraction_up_to(1s), 0);
    for (const Duration value :
         {Duration::min(), Duration(-1), Duration::zero(), Duration(1), Duration::max()})
        histogram.add(value);
    EXPECT_NEAR(histogram.fraction_up_to(1us), 0.8, 0.03);
    EXPECT_GT(histogram.quantile(0.99), 10s);
    EXPECT_LE(histogram.fraction_up_to(Duration::max()), 1);
}

}  // namespace
}  // namespace outboard
