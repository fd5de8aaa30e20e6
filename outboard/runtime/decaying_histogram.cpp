#include "outboard/runtime/decaying_histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace outboard {

namespace {

constexpr double largest_unit = 1e6;  ///< counts are floats: rescaled before they lose small weights

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

}  // namespace outboard
