// Numbers at random and a pattern to tell blocks apart: what the load generator writes and checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace outboard::bench {

/// Mixes 64 bits so that every bit of the result depends on every bit of `value` (the finalizer of
/// splitmix64).
constexpr std::uint64_t mix(std::uint64_t value) noexcept {
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
    return value ^ value >> 31;
}

/// The same numbers for the same seed, on every machine (splitmix64).
class RandomNumbers {
  public:
    explicit RandomNumbers(std::uint64_t seed) noexcept : state_(seed) {}
    std::uint64_t next() noexcept { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
    /// 0 … bound-1; `bound` is not 0, and so far below 2^64 that nobody sees the bias.
    std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }

  private:
    std::uint64_t state_;
};

/// Fills a block: in every 512 bytes the first word holds the generation, the others depend on seed, block,
/// generation and place. `block` is a whole number of 512 bytes.
inline void fill_pattern(std::span<std::byte> data, std::uint64_t seed, std::uint64_t block,
                         std::uint16_t generation) noexcept {
    const std::uint64_t key = mix(seed ^ mix(block + 1) ^ generation);
    for (std::size_t at = 0; at + sizeof key <= data.size(); at += sizeof key) {
        const std::uint64_t word = at % 512 == 0 ? generation : mix(key + at);
        std::memcpy(data.data() + at, &word, sizeof word);
    }
}

/// True when the block holds the pattern with this generation, or, without one, with any single generation
/// but 0.
inline bool matches_pattern(std::span<const std::byte> data, std::uint64_t seed, std::uint64_t block,
                            std::optional<std::uint16_t> generation) noexcept {
    std::uint64_t found = 0;
    std::memcpy(&found, data.data(), sizeof found);
    if (found == 0 || found > 0xffff || (generation && found != *generation))
        return false;
    const std::uint64_t key = mix(seed ^ mix(block + 1) ^ found);
    for (std::size_t at = 0; at + sizeof key <= data.size(); at += sizeof key) {
        std::uint64_t word = 0;
        std::memcpy(&word, data.data() + at, sizeof word);
        if (word != (at % 512 == 0 ? found : mix(key + at)))
            return false;
    }
    return true;
}

}  // namespace outboard::bench
