#include "outboard/supervisor/restart_policy.hpp"

#include <algorithm>

namespace outboard {

namespace {

using namespace std::chrono_literals;

constexpr Duration soon = 1s;
constexpr Duration longest_wait = 30s;
constexpr unsigned most_doublings = 16;

}  // namespace

std::optional<Duration> RestartPolicy::failed(TimePoint now, Duration served) {
    while (!failures_.empty() && now - failures_.front() >= settings_.window)
        failures_.pop_front();
    if (failures_.size() >= settings_.limit)
        return std::nullopt;
    failures_.push_back(now);
    soon_ = served < soon ? soon_ + 1 : 0;
    if (soon_ == 0)
        return Duration::zero();
    return std::min<Duration>(settings_.backoff * (1 << std::min(soon_ - 1, most_doublings)), longest_wait);
}

void RestartPolicy::forget() noexcept {
    failures_.clear();
    soon_ = 0;
}

}  // namespace outboard
