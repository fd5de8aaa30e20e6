// A distribution of durations that forgets: what a predictor has learnt.
#pragma once

#include "outboard/runtime/clock.hpp"

#include <array>
#include <chrono>
#include <cstddef>

namespace outboard {

/// Counts durations from about 60 ns to 17 s in buckets whose width is 1/16 of their octave (at most 6 % of
/// the value); what lies outside counts in the first or last one. A sample's weight halves with every
/// `half_life` later ones. Deterministic; never allocates.
class DecayingHistogram {
  public:
    /// `half_life` in samples, at least 1.
    explicit DecayingHistogram(double half_life = 64) noexcept;

    void add(Duration value) noexcept;
    /// Total weight; it never exceeds about 1.44 times the half-life.
    double weight() const noexcept { return total_ / unit_; }
    /// Share of the weight at values up to `value`, 0 … 1; 0 when there is nothing.
    double fraction_up_to(Duration value) const noexcept;
    /// The value below which a share of `fraction` (0 … 1) of the weight lies, interpolated inside its
    /// bucket. Zero when there is nothing.
    Duration quantile(double fraction) const noexcept;

    /// When to look at something that has lasted for `elapsed` already, so that at most `late_share` of such
    /// values lie before the look, and the look comes after them on average by at most `delay_share` of the
    /// time until then (both 0 … 1). `elapsed` when nothing is known about values beyond it.
    Duration look_after(Duration elapsed, double late_share, double delay_share) const noexcept;

  private:
    static constexpr unsigned steps_log2 = 4;  ///< 16 buckets an octave
    static constexpr unsigned first_octave = 6;
    static constexpr unsigned octaves = 28;
    static constexpr std::size_t buckets = std::size_t{octaves} << steps_log2;

    static std::size_t bucket_of(Duration value) noexcept;
    static double lower_edge(std::size_t bucket) noexcept;
    /// The share of a bucket's values that lie above `value`.
    static double share_above(std::size_t bucket, double value) noexcept;

    double growth_;
    double unit_ = 1;  ///< the weight of the newest sample
    double total_ = 0;
    std::array<float, buckets> counts_{};
};

}  // namespace outboard
