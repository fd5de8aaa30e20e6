#include "outboard/runtime/adaptive_poll.hpp"

#include <algorithm>

namespace outboard {

namespace {

constexpr Duration first_oversleep = std::chrono::microseconds(60);  ///< assumed until a sleep was measured
constexpr double enough_weight = 3;                                  ///< samples before a class is believed
constexpr unsigned refusals_before_trial = 32;
constexpr unsigned most_surprises = 8;

}  // namespace

CompletionPredictor::CompletionPredictor(const PredictorOptions& options)
    : options_(options),
      classes_(std::max(options.classes, 1U), Class{DecayingHistogram(options.half_life)}),
      sleeps_(options.half_life),
      oversleep_(first_oversleep) {}

Duration CompletionPredictor::typical(RequestClass request_class) const noexcept {
    return classes_[std::min<std::size_t>(request_class, classes_.size() - 1)].service.quantile(0.5);
}

void CompletionPredictor::started(RequestClass request_class, TimePoint now) noexcept {
    current_ = &classes_[std::min<std::size_t>(request_class, classes_.size() - 1)];
    outstanding_ = true;
    slept_ = false;
    started_ = now;
    last_look_ = now;
    spin_until_ = now;
    spun_ = Duration::zero();
    plan(now);
}

void CompletionPredictor::looked(TimePoint now) noexcept {
    if (!outstanding_)
        return;
    saw(now);
    last_look_ = now;
    plan(now);
}

void CompletionPredictor::finished(TimePoint now) noexcept {
    if (!outstanding_)
        return;
    saw(now);
    current_->service.add(observed(now));
    abandoned();
}

void CompletionPredictor::abandoned() noexcept {
    outstanding_ = false;
    next_look_ = TimePoint::max();
}

/// Learns from the time of a look how late the sleep before it ended, or counts it as spinning.
void CompletionPredictor::saw(TimePoint now) noexcept {
    if (!slept_) {
        spun_ += now - last_look_;
    } else if (now >= next_look_) {  // otherwise something else woke the thread
        sleeps_.add(now - next_look_);
        oversleep_ = sleeps_.quantile(1 - options_.oversleep_share);
    }
}

/// The service time to learn from a request that was seen to have finished at `now`, and not at the look
/// before.
Duration CompletionPredictor::observed(TimePoint now) noexcept {
    const Duration low = last_look_ - started_;
    const Duration high = now - started_;
    if (!slept_) {
        current_->surprises = 0;
        return high;
    }
    // It finished at some time during the sleep. If that was likely, assume the middle of what was expected
    // in there. If not, the device may have become faster than is known, by how much the sleep has hidden:
    // assume earlier, and earlier still when that happens again, so that later sleeps end before it has
    // finished.
    const DecayingHistogram& known = current_->service;
    const double before = known.fraction_up_to(low);
    const double by_now = known.fraction_up_to(high);
    if (by_now - before >= 2 * options_.late_share * (1 - before) && by_now > before) {
        current_->surprises = 0;
        return std::clamp(known.quantile((before + by_now) / 2), low, high);
    }
    current_->surprises = std::min(current_->surprises + 1, most_surprises);
    return high - (high - low) * current_->surprises / (2 * most_surprises);
}

void CompletionPredictor::plan_look(TimePoint now, TimePoint when) noexcept {
    next_look_ = std::min(when, now + options_.longest_sleep);
    slept_ = next_look_ > now;
}

void CompletionPredictor::plan(TimePoint now) noexcept {
    if (now < spin_until_) {
        plan_look(now, now);
        return;
    }
    const Duration elapsed = now - started_;
    const Duration until_due = learnt_due(elapsed) - elapsed;
    if (const Duration sleep = worthwhile_sleep(elapsed, until_due); sleep > Duration::zero()) {
        plan_look(now, now + sleep);
        return;
    }
    // Where an end is expected, spinning may go on for as long as it stays a small part of the whole.
    const Duration budget =
        until_due > Duration::zero() ? std::max(options_.spin_limit, elapsed / 8) : options_.spin_limit;
    if (spun_ < budget) {
        spin_until_ = now + options_.shortest_sleep;
        plan_look(now, now);
    } else {
        plan_look(now, now + std::max(options_.spin_limit / 4, elapsed / 8));
    }
}

/// The time from the start at which a request that has not finished after `elapsed` should be looked at
/// again; `elapsed` when nothing is known about such requests.
Duration CompletionPredictor::learnt_due(Duration elapsed) const noexcept {
    const DecayingHistogram& known = current_->service;
    if (known.weight() < enough_weight)
        return elapsed;
    return known.look_after(elapsed, options_.late_share, options_.delay_share);
}

/// How long to sleep so as to be awake when `until_due` has passed; zero when that is not worth it.
Duration CompletionPredictor::worthwhile_sleep(Duration elapsed, Duration until_due) noexcept {
    const Duration sleep = until_due - oversleep_;
    if (sleep >= options_.shortest_sleep)
        return sleep;
    // Sleeps may not end as late as they did once: without a trial now and then that would never be seen.
    if (until_due >= 2 * options_.shortest_sleep && elapsed == Duration::zero() &&
        ++refusals_ >= refusals_before_trial) {
        refusals_ = 0;
        return until_due / 2;
    }
    return Duration::zero();
}

}  // namespace outboard
