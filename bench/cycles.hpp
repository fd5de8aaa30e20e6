// Cycles of the time stamp counter around short pieces of code.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <thread>

#include <x86intrin.h>

namespace outboard::bench {

/// Before the code: nothing of it begins earlier.
inline std::uint64_t cycles_begin() {
    _mm_lfence();
    const std::uint64_t now = __rdtsc();
    _mm_lfence();
    return now;
}

/// After it: all of it that was to be waited for (loads, arithmetic) is done; stores go on.
inline std::uint64_t cycles_end() {
    unsigned processor = 0;
    const std::uint64_t now = __rdtscp(&processor);
    _mm_lfence();
    return now;
}

/// What a pair of the two shows with nothing between them: the middle of many.
inline std::uint64_t cycles_overhead() {
    std::array<std::uint64_t, 1001> pairs{};
    for (std::uint64_t& pair : pairs) {
        const std::uint64_t begin = cycles_begin();
        pair = cycles_end() - begin;
    }
    std::ranges::nth_element(pairs, pairs.begin() + pairs.size() / 2);
    return pairs[pairs.size() / 2];
}

/// Cycles of the counter in a nanosecond.
inline double cycles_per_nanosecond() {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    const std::uint64_t first = __rdtsc();
    while (Clock::now() - begin < std::chrono::milliseconds(50))
        std::this_thread::yield();
    const std::uint64_t last = __rdtsc();
    const std::chrono::duration<double, std::nano> elapsed = Clock::now() - begin;
    return static_cast<double>(last - first) / elapsed.count();
}

}  // namespace outboard::bench
