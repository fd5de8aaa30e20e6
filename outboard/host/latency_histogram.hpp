// A histogram of latencies whose memory does not depend on how many there are.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace outboard {

/// Counts values of 0 … 2^63-1 (nanoseconds, say) in log-linear buckets: 64 steps in every power of two, so a
/// percentile is at most 1.6 % above the true value. Fixed size, no allocation; one thread.
class LatencyHistogram {
  public:
    void record(std::uint64_t value) noexcept {
        ++counts_[index_of(value)];
        ++total_;
    }

    std::uint64_t count() const noexcept { return total_; }

    /// The smallest bucket bound that at least `fraction` (0 … 1) of the values do not exceed; 0 when there
    /// are none.
    std::uint64_t percentile(double fraction) const noexcept {
        const double wanted = fraction * static_cast<double>(total_);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen != 0 && static_cast<double>(seen) >= wanted)
                return upper_bound(i);
        }
        return 0;
    }

    /// Adds what another histogram counted.
    void merge(const LatencyHistogram& other) noexcept {
        for (std::size_t i = 0; i < counts_.size(); ++i)
            counts_[i] += other.counts_[i];
        total_ += other.total_;
    }

    /// Calls `tell` with the largest value of a bucket and how many values fell into it, for those that have
    /// any, ascending.
    template <class Tell>
    void for_each(Tell&& tell) const {
        for (std::size_t i = 0; i < counts_.size(); ++i)
            if (counts_[i] != 0)
                tell(upper_bound(i), counts_[i]);
    }

  private:
    static constexpr unsigned step_bits = 6;
    static constexpr std::size_t steps = std::size_t{1} << step_bits;
    static constexpr std::size_t buckets = (63 - step_bits + 1) * steps;

    // Values below 2^step_bits have a bucket each. Above, the highest bit chooses a group of `steps` buckets
    // and the next step_bits bits the bucket in it.
    static constexpr std::size_t index_of(std::uint64_t value) noexcept {
        if (value < steps)
            return static_cast<std::size_t>(value);
        const auto group = static_cast<unsigned>(std::bit_width(value)) - step_bits;
        const std::size_t index = group * steps + static_cast<std::size_t>((value >> (group - 1)) - steps);
        return index < buckets ? index : buckets - 1;
    }

    /// The largest value that falls into bucket `index`.
    static constexpr std::uint64_t upper_bound(std::size_t index) noexcept {
        if (index < steps)
            return index;
        const std::size_t group = index / steps;
        return ((index % steps + steps + 1) << (group - 1)) - 1;
    }

    std::array<std::uint64_t, buckets> counts_{};
    std::uint64_t total_ = 0;
};

}  // namespace outboard
