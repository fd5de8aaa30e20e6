// Feature bits that are no device type's own (Virtio 1.2, 6).
#pragma once

#include <cstdint>

namespace outboard::virtio {

/// Bits 0 … 63 of what a device offers, or a driver accepts.
using Features = std::uint64_t;

namespace feature {

inline constexpr Features indirect_descriptors = Features{1} << 28;  ///< VIRTIO_F_INDIRECT_DESC
inline constexpr Features event_index = Features{1} << 29;           ///< VIRTIO_F_EVENT_IDX
inline constexpr Features version_1 = Features{1} << 32;             ///< VIRTIO_F_VERSION_1
inline constexpr Features access_platform = Features{1} << 33;       ///< VIRTIO_F_ACCESS_PLATFORM
inline constexpr Features packed_ring = Features{1} << 34;           ///< VIRTIO_F_RING_PACKED
inline constexpr Features order_platform = Features{1} << 36;        ///< VIRTIO_F_ORDER_PLATFORM

/// Without them no device is driven.
inline constexpr Features required = version_1 | access_platform;
/// Those that the transport and its rings make use of.
inline constexpr Features transport =
    required | indirect_descriptors | event_index | packed_ring | order_platform;

}  // namespace feature

constexpr bool has(Features features, Features bit) noexcept {
    return (features & bit) != 0;
}

}  // namespace outboard::virtio
