// When to look whether a device has finished, when no interrupt will tell: sleep through most of the service
// time that was learnt, then look often. Pure arithmetic on time points that are passed in.
#pragma once

#include "outboard/runtime/clock.hpp"
#include "outboard/runtime/decaying_histogram.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace outboard {

/// Requests that take about as long as one another: an index below PredictorOptions::classes.
using RequestClass = std::uint16_t;

/// Sizes that a predictor keeps apart: up to 512 bytes, up to 1 KiB, … up to 1 MiB, more.
inline constexpr unsigned size_classes = 13;

/// The class of a request of kind `operation` (0, 1, … as the driver counts them) over `bytes` bytes; it
/// needs (highest operation + 1) * size_classes classes.
constexpr RequestClass request_class(unsigned operation, std::uint64_t bytes) noexcept {
    const unsigned octave = bytes <= 512 ? 0U : static_cast<unsigned>(std::bit_width((bytes - 1) >> 9));
    return static_cast<RequestClass>(operation * size_classes +
                                     (octave < size_classes ? octave : size_classes - 1));
}

struct PredictorOptions {
    unsigned classes = 4 * size_classes;
    /// Which share of requests may be finished already when the device is first looked at, or looked at again
    /// after a sleep; these are the only ones that a sleep delays. Between 0 and 1.
    double late_share = 0.10;
    /// How much of the time slept may on average be added to the latency. Between 0 and 1.
    double delay_share = 0.01;
    /// Which share of sleeps may end later than assumed. Between 0 and 1.
    double oversleep_share = 0.25;
    /// Time that one request may be looked at without a pause, altogether; an eighth of the time that has
    /// passed when that is more and an end is expected. After that, looks are spaced by an eighth of the time
    /// that has passed.
    Duration spin_limit = std::chrono::microseconds(250);
    /// A sleep shorter than this is not worth its system call.
    Duration shortest_sleep = std::chrono::microseconds(5);
    /// Looks are never further apart than this, however late the device is.
    Duration longest_sleep = std::chrono::milliseconds(5);
    /// A service time or an oversleep weighs half after so many later ones.
    double half_life = 64;
};

/// One request at a time (a channel that takes one command, or the oldest of a queue). It learns how long
/// each class of request takes and how late sleeps end, and says when to look.
///
///     started ──► next_look ──► (sleep) ──► look ──► looked ──► next_look …
///                                             └────► finished
///
/// Used by one thread. Allocates in the constructor only.
class CompletionPredictor {
  public:
    explicit CompletionPredictor(const PredictorOptions& options = {});

    /// A request was given to the device.
    void started(RequestClass request_class, TimePoint now) noexcept;
    /// When to look next: a time not after `now` means at once, max() that nothing is outstanding. Constant
    /// until one of the other functions is called.
    TimePoint next_look(TimePoint now) const noexcept {
        return outstanding_ && next_look_ < now ? now : next_look_;
    }
    /// The device was looked at and had not finished.
    void looked(TimePoint now) noexcept;
    /// The device was looked at, or told by other means, and has finished: `now` is when that was seen.
    void finished(TimePoint now) noexcept;
    /// The request ended in a way that says nothing about service times (an error, a reset).
    void abandoned() noexcept;

    bool outstanding() const noexcept { return outstanding_; }
    /// What is assumed about a sleep: how late it ends.
    Duration oversleep() const noexcept { return oversleep_; }
    /// The median service time of a class; zero while nothing is known.
    Duration typical(RequestClass request_class) const noexcept;

  private:
    struct Class {
        DecayingHistogram service;
        unsigned surprises = 0;  ///< requests in a row that were finished before they were expected at all
    };

    void saw(TimePoint now) noexcept;
    void plan(TimePoint now) noexcept;
    void plan_look(TimePoint now, TimePoint when) noexcept;
    Duration learnt_due(Duration elapsed) const noexcept;
    Duration worthwhile_sleep(Duration elapsed, Duration until_due) noexcept;
    Duration observed(TimePoint now) noexcept;

    PredictorOptions options_;
    std::vector<Class> classes_;
    DecayingHistogram sleeps_;  ///< how late sleeps ended
    Duration oversleep_;
    unsigned refusals_ = 0;  ///< requests since the last sleep that was not tried because it would end late

    bool outstanding_ = false;
    bool slept_ = false;  ///< the next look comes after a sleep
    Class* current_ = nullptr;
    TimePoint started_;
    TimePoint last_look_;   ///< the last time it was seen not to have finished; the start before that
    TimePoint spin_until_;  ///< no new plan is made before
    TimePoint next_look_ = TimePoint::max();
    Duration spun_{};
};

}  // namespace outboard
