// The bytes of one execution, taken from the front; what is missing reads as zero.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace outboard::fuzz {

class Input {
  public:
    /// The memory outlives it.
    Input(const std::uint8_t* data, std::size_t size) noexcept
        : rest_(reinterpret_cast<const std::byte*>(data), size) {}

    bool empty() const noexcept { return rest_.empty(); }
    std::size_t size() const noexcept { return rest_.size(); }

    /// The next integer, little-endian.
    template <std::unsigned_integral T>
    T take() noexcept {
        T value = 0;
        const auto bytes = take_bytes(sizeof value);
        if (!bytes.empty())
            std::memcpy(&value, bytes.data(), bytes.size());
        return value;
    }
    /// One of 0 … `count` - 1 by the next byte; `count` is 1 … 256.
    unsigned below(unsigned count) noexcept { return take<std::uint8_t>() % count; }
    bool flag() noexcept { return (take<std::uint8_t>() & 1) != 0; }

    /// The next `size` bytes, or as many as there are.
    std::span<const std::byte> take_bytes(std::size_t size) noexcept {
        const auto bytes = rest_.first(std::min(size, rest_.size()));
        rest_ = rest_.subspan(bytes.size());
        return bytes;
    }
    std::span<const std::byte> take_rest() noexcept { return take_bytes(rest_.size()); }
    std::string_view take_text() noexcept {
        const auto bytes = take_rest();
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

  private:
    std::span<const std::byte> rest_;
};

}  // namespace outboard::fuzz
