// Little-endian words in memory that the device reads and writes at the same time: one access each.
#pragma once

#include "outboard/base/endian.hpp"

#include <atomic>
#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

namespace outboard::virtio {

/// `at` is aligned for T.
template <std::unsigned_integral T>
T load_word(const void* at, std::memory_order order) noexcept {
    auto& word = *static_cast<T*>(const_cast<void*>(at));
    return std::bit_cast<Little<T>>(std::atomic_ref(word).load(order));
}

template <std::unsigned_integral T>
void store_word(T* at, std::type_identity_t<T> value, std::memory_order order) noexcept {
    std::atomic_ref(*at).store(std::bit_cast<T>(Little<T>(value)), order);
}

}  // namespace outboard::virtio
