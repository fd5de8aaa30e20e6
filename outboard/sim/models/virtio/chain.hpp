// A buffer as the client has described it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace outboard::sim::virtio {

/// A part of the client's memory.
struct Part {
    std::uint64_t iova = 0;
    std::uint32_t length = 0;

    friend bool operator==(const Part&, const Part&) = default;
};

struct Chain {
    std::uint16_t id = 0;     ///< what names it when it is used
    std::uint16_t count = 0;  ///< descriptors that it takes in the ring
    std::vector<Part> readable{};
    std::vector<Part> writable{};

    void clear() noexcept {
        id = 0;
        count = 0;
        readable.clear();
        writable.clear();
    }
};

/// Bytes of all parts.
inline std::uint64_t length_of(std::span<const Part> parts) noexcept {
    std::uint64_t length = 0;
    for (const Part& part : parts)
        length += part.length;
    return length;
}

}  // namespace outboard::sim::virtio
