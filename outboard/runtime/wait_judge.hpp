// Whether it is better to look for a device's answers or to sleep until an interrupt, judged from how long
// answers take and how soon their user comes back. Pure arithmetic on time points that are passed in.
#pragma once

#include "outboard/runtime/clock.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace outboard {

/// Being told by an interrupt takes a processor some microseconds, and the request as much longer. So it pays
/// to look where answers come sooner than that; and where they take a little longer, as long as requests
/// follow one another, for then the processor would hardly sleep. One thread; allocates nothing.
class WaitJudge {
  public:
    /// Looking for so long costs no more than an interrupt.
    static constexpr Duration cheap = std::chrono::microseconds(10);
    /// Beyond it what an interrupt adds is not worth a busy processor.
    static constexpr Duration worthwhile = std::chrono::microseconds(200);

    /// Takes note of how things are, about once in every turn of a loop: `outstanding` requests are with the
    /// device, `ended` of them have ended since the beginning.
    void observe(TimePoint now, std::size_t outstanding, std::uint64_t ended) noexcept {
        if (ended != ended_) {
            ended_ = ended;
            if (waiting_) {
                learn(wait_, now - since_);
                since_ = now;
                if (outstanding != 0)
                    learn(pause_, Duration::zero());
            }
        }
        if ((outstanding != 0) == waiting_)
            return;
        waiting_ = outstanding != 0;
        if (waiting_)
            learn(pause_, now - since_);
        since_ = now;
    }

    /// Requests that are sent now are better looked for.
    bool look() const noexcept { return wait_ <= cheap || (wait_ <= worthwhile && pause_ <= wait_); }

    /// When to look for what no interrupt will tell: a time not after `now` means at once. What takes much
    /// longer than was expected is looked for less and less often, at least once a millisecond.
    TimePoint next_look(TimePoint now) const noexcept {
        const Duration waited = now - since_;
        if (waited < std::max(2 * wait_, 2 * cheap))
            return now;
        return now + std::clamp<Duration>(waited / 4, cheap, std::chrono::milliseconds(1));
    }

  private:
    /// A moving mean; longer ones weigh no more than this, so that one pause is soon forgotten.
    static void learn(Duration& mean, Duration sample) noexcept {
        constexpr Duration most = std::chrono::milliseconds(2);
        mean += (std::min(sample, most) - mean) / 8;
    }

    Duration wait_ = 2 * worthwhile;  ///< from a request, or the answer before, to an answer
    Duration pause_ = worthwhile;     ///< without a request
    TimePoint since_{};               ///< the last answer, or when waiting or the pause began
    std::uint64_t ended_ = 0;
    bool waiting_ = false;
};

}  // namespace outboard
