#include "outboard/runtime/decaying_histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace outboard {

namespace {

constexpr double largest_unit = 1e6;  ///< counts are floats: rescaled before they lose small weights

/// The larger x at which a x^2 + b x + c is zero; a is not negative, c not positive.
double positive_root(double a, double b, double c) noexcept {
    if (a <= 0)
        return b > 0 ? -c / b : 0;
    return (-b + std::sqrt(b * b - 4 * a * c)) / (2 * a);
}

}  // namespace

DecayingHistogram::DecayingHistogram(double half_life) noexcept
    : growth_(std::exp2(1 / std::max(half_life, 1.0))) {}

std::size_t DecayingHistogram::bucket_of(Duration value) noexcept {
    const auto nanoseconds = static_cast<std::uint64_t>(
        std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(value).count(), 1));
    const auto octave = static_cast<unsigned>(std::bit_width(nanoseconds)) - 1;
    if (octave < first_octave)
        return 0;
    if (octave >= first_octave + octaves)
        return buckets - 1;
    const auto step = (nanoseconds >> (octave - steps_log2)) & ((1U << steps_log2) - 1);
    return (std::size_t{octave - first_octave} << steps_log2) + step;
}

double DecayingHistogram::lower_edge(std::size_t bucket) noexcept {
    const auto octave = static_cast<int>(bucket >> steps_log2) + static_cast<int>(first_octave);
    const auto step = static_cast<double>(bucket & ((1U << steps_log2) - 1));
    return std::ldexp(1 + step / (1U << steps_log2), octave);
}

double DecayingHistogram::share_above(std::size_t bucket, double value) noexcept {
    const double low = lower_edge(bucket);
    const double high = lower_edge(bucket + 1);
    return std::clamp((high - value) / (high - low), 0.0, 1.0);
}

void DecayingHistogram::add(Duration value) noexcept {
    // Newer samples weigh more instead of older ones less: one counter changes.
    unit_ *= growth_;
    counts_[bucket_of(value)] += static_cast<float>(unit_);
    total_ += unit_;
    if (unit_ < largest_unit)
        return;
    total_ = 0;
    for (float& count : counts_) {
        count = static_cast<float>(count / unit_);
        total_ += count;
    }
    unit_ = 1;
}

double DecayingHistogram::fraction_up_to(Duration value) const noexcept {
    if (total_ <= 0)
        return 0;
    const std::size_t last = bucket_of(value);
    double below = 0;
    for (std::size_t i = 0; i < last; ++i)
        below += counts_[i];
    const double inside =
        (static_cast<double>(value.count()) - lower_edge(last)) / (lower_edge(last + 1) - lower_edge(last));
    return std::clamp((below + std::clamp(inside, 0.0, 1.0) * counts_[last]) / total_, 0.0, 1.0);
}

Duration DecayingHistogram::quantile(double fraction) const noexcept {
    if (total_ <= 0)
        return Duration::zero();
    const double wanted = std::clamp(fraction, 0.0, 1.0) * total_;
    double below = 0;
    std::size_t last_used = 0;
    for (std::size_t i = 0; i < buckets; ++i) {
        if (counts_[i] <= 0)
            continue;
        last_used = i;
        if (below + counts_[i] >= wanted) {
            const double inside = (wanted - below) / counts_[i];
            const double value = std::lerp(lower_edge(i), lower_edge(i + 1), inside);
            return Duration(static_cast<Duration::rep>(value));
        }
        below += counts_[i];
    }
    return Duration(static_cast<Duration::rep>(lower_edge(last_used + 1)));
}

Duration DecayingHistogram::look_after(Duration elapsed, double late_share,
                                       double delay_share) const noexcept {
    const auto start = static_cast<double>(elapsed.count());
    const std::size_t first = bucket_of(elapsed);
    double left = share_above(first, start) * counts_[first];
    for (std::size_t i = first + 1; i < buckets; ++i)
        left += counts_[i];
    // Less than half of one sample is what rounding and forgetting leave.
    if (left < 0.5 * unit_ || left < 1e-6 * total_)
        return elapsed;
    double passed = 0;  // share of the values that the look would find done
    double delay = 0;   // expected time between a value and the look
    double at = start;
    for (std::size_t i = first; i < buckets; ++i) {
        const double edge = lower_edge(i + 1);
        const double count = (i == first ? share_above(i, start) : 1.0) * counts_[i];
        const double inside = count / left;
        const double width = edge - at;
        const double delay_there = delay + (passed + inside / 2) * width;
        // Both limits are passed once and for all: the delay grows ever faster, its limit evenly.
        const double over_share = passed + inside - late_share;
        const double over_delay = delay_there - delay_share * (edge - start);
        if (over_share > 0 || over_delay > 0) {
            double further = width;
            if (over_share > 0)
                further = std::min(further, (late_share - passed) / inside * width);
            if (over_delay > 0)
                further = std::min(further, positive_root(inside / (2 * width), passed - delay_share,
                                                          delay - delay_share * (at - start)));
            return Duration(static_cast<Duration::rep>(at + std::max(further, 0.0)));
        }
        passed += inside;
        delay = delay_there;
        at = edge;
    }
    return Duration(static_cast<Duration::rep>(at));
}

}  // namespace outboard
