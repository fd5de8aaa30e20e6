// How long to look for the next request before sleeping.
#pragma once

#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <chrono>

namespace outboard::ublk {

/// Falling asleep and being woken costs tens of microseconds on either side. A user who sends one request
/// after the other comes back sooner than that, so it pays to stay awake for a moment; but only where the
/// pauses between requests have been that short, and never long.
class Linger {
  public:
    /// Without `allowed` never: on the only processor, staying awake would keep the user from sending.
    explicit Linger(bool allowed) noexcept : allowed_(allowed) {}

    /// Nothing is left to do.
    void pause_begins(TimePoint now) noexcept {
        begin_ = now;
        until_ = allowed_ && usual_ <= worthwhile ? now + std::min(2 * usual_, longest) : now;
    }
    /// The next request has come.
    void pause_ends(TimePoint now) noexcept {
        const Duration pause = std::min<Duration>(now - begin_, counted);
        usual_ += (pause - usual_) / 8;
    }
    /// Until when to stay awake in this pause.
    TimePoint until() const noexcept { return until_; }

  private:
    static constexpr Duration worthwhile = std::chrono::microseconds(150);
    static constexpr Duration longest = std::chrono::microseconds(200);
    static constexpr Duration counted =
        std::chrono::milliseconds(1);  ///< longer pauses weigh no more than this

    bool allowed_;
    Duration usual_ = counted;  ///< a moving mean of the pauses
    TimePoint begin_;
    TimePoint until_;
};

}  // namespace outboard::ublk
