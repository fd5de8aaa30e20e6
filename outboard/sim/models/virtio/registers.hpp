// Registers and bits of a virtio device on PCI, as a device has them (Virtio 1.2, 2.1, 4.1.4 and 6).
#pragma once

#include <cstdint>

namespace outboard::sim::virtio {

inline constexpr std::uint16_t vendor_id = 0x1af4;
/// A modern device's PCI identifier is this and its type (4.1.2).
inline constexpr std::uint16_t first_device_id = 0x1040;

/// Offsets in the common configuration (4.1.4.3).
enum class Common : std::uint32_t {
    device_feature_select = 0x00,
    device_feature = 0x04,
    driver_feature_select = 0x08,
    driver_feature = 0x0c,
    config_msix_vector = 0x10,
    num_queues = 0x12,
    device_status = 0x14,
    config_generation = 0x15,
    queue_select = 0x16,
    queue_size = 0x18,
    queue_msix_vector = 0x1a,
    queue_enable = 0x1c,
    queue_notify_off = 0x1e,
    queue_desc = 0x20,
    queue_desc_high = 0x24,
    queue_driver = 0x28,
    queue_driver_high = 0x2c,
    queue_device = 0x30,
    queue_device_high = 0x34,
};
inline constexpr std::uint32_t common_length = 0x38;

inline constexpr std::uint8_t status_driver_ok = 4;
inline constexpr std::uint8_t status_features_ok = 8;
inline constexpr std::uint8_t status_needs_reset = 0x40;

inline constexpr std::uint8_t isr_queue = 1;
inline constexpr std::uint8_t isr_configuration = 2;

inline constexpr std::uint16_t no_vector = 0xffff;

/// Feature bits (6).
inline constexpr unsigned indirect_bit = 28;
inline constexpr unsigned event_index_bit = 29;
inline constexpr unsigned version_1_bit = 32;
inline constexpr unsigned access_platform_bit = 33;
inline constexpr unsigned packed_bit = 34;

constexpr std::uint64_t bit(unsigned number) noexcept {
    return std::uint64_t{1} << number;
}

/// Types of the capabilities that say where structures are (4.1.4).
inline constexpr std::uint8_t capability_common = 1;
inline constexpr std::uint8_t capability_notify = 2;
inline constexpr std::uint8_t capability_isr = 3;
inline constexpr std::uint8_t capability_device = 4;

// Flags of descriptors (2.7.5, 2.8.1 to 2.8.7).
inline constexpr std::uint16_t descriptor_next = 1;
inline constexpr std::uint16_t descriptor_write = 2;
inline constexpr std::uint16_t descriptor_indirect = 4;
inline constexpr std::uint16_t descriptor_available = 0x80;
inline constexpr std::uint16_t descriptor_used = 0x8000;
inline constexpr std::uint64_t descriptor_bytes = 16;

/// The most descriptors of one buffer that are looked at.
inline constexpr unsigned longest_chain = 1024;

}  // namespace outboard::sim::virtio
