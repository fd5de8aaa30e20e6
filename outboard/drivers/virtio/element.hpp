// What rings have in common: a buffer as the driver gives it, and as it comes back.
#pragma once

#include <cstdint>

namespace outboard::virtio {

/// A physically contiguous part of a buffer. Those that the device reads come before those that it writes.
struct Element {
    std::uint64_t iova = 0;
    std::uint32_t length = 0;
    bool device_writes = false;
};

/// IOVAs of the three parts of a queue.
struct RingPlaces {
    std::uint64_t descriptors = 0;
    std::uint64_t driver_area = 0;
    std::uint64_t device_area = 0;
};

/// A buffer that the device has used.
struct Used {
    std::uint16_t token = 0;   ///< the one it was added with
    std::uint32_t length = 0;  ///< bytes that the device says it has written
};

enum class Taken : std::uint8_t {
    nothing,     ///< the device has used no more
    one,         ///<
    impossible,  ///< the device says what cannot be: the ring is of no use any more
};

/// True when event `event` was passed on the way from `from` to `to`, all modulo 2^16 (2.7.10.1).
constexpr bool passed(std::uint16_t event, std::uint16_t from, std::uint16_t to) noexcept {
    return static_cast<std::uint16_t>(to - event - 1) < static_cast<std::uint16_t>(to - from);
}

}  // namespace outboard::virtio
