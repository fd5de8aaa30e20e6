// Structures as the bytes they are made of: what goes over a socket or comes from a kernel.
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

namespace outboard {

/// The bytes of `value`, which has to outlive the span.
template <class T>
    requires std::is_trivially_copyable_v<T>
std::span<const std::byte> bytes_of(const T& value) noexcept {
    return std::as_bytes(std::span(&value, 1));
}

/// A copy of the T that starts `offset` bytes into `bytes`, or nothing when it does not lie inside.
template <class T>
    requires std::is_trivially_copyable_v<T>
std::optional<T> read_at(std::span<const std::byte> bytes, std::size_t offset) noexcept {
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T))
        return std::nullopt;
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

}  // namespace outboard
