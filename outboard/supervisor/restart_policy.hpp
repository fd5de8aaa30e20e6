// How often, and how soon, a driver that died is started again.
#pragma once

#include "outboard/runtime/clock.hpp"

#include <chrono>
#include <deque>
#include <optional>

namespace outboard {

struct RestartSettings {
    unsigned limit = 5;  ///< restarts within `window`; one more failure is the last
    Duration window = std::chrono::minutes(30);
    Duration backoff = std::chrono::milliseconds(100);  ///< see RestartPolicy::failed; 0: never wait
};

/// Counts the failures of one device's driver. Pure: time is what it is told.
class RestartPolicy {
  public:
    explicit RestartPolicy(RestartSettings settings) noexcept : settings_(settings) {}

    /// The driver failed at `now`; it had served for `served` (zero: it did not get that far). Returns how
    /// long to wait before it is started again, or nothing: it is not. A driver that had served for a while
    /// is started at once, for users wait; one that fails soon waits for `backoff`, which doubles with every
    /// such failure in a row, up to half a minute.
    std::optional<Duration> failed(TimePoint now, Duration served);

    /// Somebody has asked for a new start: what was is forgotten.
    void forget() noexcept;

    /// Failures that count at the moment.
    std::size_t recent() const noexcept { return failures_.size(); }

  private:
    RestartSettings settings_;
    std::deque<TimePoint> failures_;
    unsigned soon_ = 0;  ///< failures in a row that came soon
};

}  // namespace outboard
