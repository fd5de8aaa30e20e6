// Little-endian integers as they lie in device memory: descriptors, tables, identify data.
#pragma once

#include <bit>
#include <concepts>
#include <cstring>

namespace outboard {

/// An integer stored in little-endian order whatever the host's order is. Same size as T, alignment of T.
template <std::unsigned_integral T>
class Little {
  public:
    constexpr Little() noexcept = default;
    constexpr Little(T value) noexcept : stored_(swap(value)) {}     // NOLINT(google-explicit-constructor)
    constexpr operator T() const noexcept { return swap(stored_); }  // NOLINT(google-explicit-constructor)

  private:
    static constexpr T swap(T value) noexcept {
        if constexpr (std::endian::native == std::endian::big && sizeof(T) > 1) {
            T swapped = 0;
            for (std::size_t i = 0; i < sizeof(T); ++i)
                swapped = static_cast<T>(swapped << 8 | (value >> (8 * i) & 0xff));
            return swapped;
        }
        return value;
    }

    T stored_ = 0;
};

using Le16 = Little<unsigned short>;
using Le32 = Little<unsigned int>;
using Le64 = Little<unsigned long>;

static_assert(sizeof(Le16) == 2 && sizeof(Le32) == 4 && sizeof(Le64) == 8);

}  // namespace outboard
