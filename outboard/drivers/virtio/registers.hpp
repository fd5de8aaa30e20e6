// Registers of a virtio device on PCI (Virtio 1.2, 4.1.4.3 to 4.1.4.5). Names are ours, the specification's
// behind them.
#pragma once

#include "outboard/base/registers.hpp"

#include <cstddef>
#include <cstdint>

namespace outboard::virtio {

/// Bytes of the common configuration structure that are used.
inline constexpr std::size_t common_bytes = 0x38;

/// Selects bits 0 … 31 or 32 … 63 of DeviceFeatures, device_feature_select.
struct DeviceFeatureSelect : Register<DeviceFeatureSelect, std::uint32_t, 0x00, Access::read_write> {};
/// What the device offers, device_feature.
struct DeviceFeatures : Register<DeviceFeatures, std::uint32_t, 0x04, Access::read_only> {};
/// driver_feature_select.
struct DriverFeatureSelect : Register<DriverFeatureSelect, std::uint32_t, 0x08, Access::read_write> {};
/// What the driver accepts, driver_feature.
struct DriverFeatures : Register<DriverFeatures, std::uint32_t, 0x0c, Access::read_write> {};
/// MSI-X vector of configuration changes, config_msix_vector.
struct ConfigurationVector : Register<ConfigurationVector, std::uint16_t, 0x10, Access::read_write> {};
/// num_queues.
struct QueueCount : Register<QueueCount, std::uint16_t, 0x12, Access::read_only> {};

/// device_status (2.1). Writing zero resets the device.
struct DeviceStatus : Register<DeviceStatus, std::uint8_t, 0x14, Access::read_write> {
    static constexpr Bit<DeviceStatus, 0> acknowledge{};  ///< ACKNOWLEDGE
    static constexpr Bit<DeviceStatus, 1> driver{};       ///< DRIVER
    static constexpr Bit<DeviceStatus, 2> driver_ok{};    ///< DRIVER_OK
    static constexpr Bit<DeviceStatus, 3> features_ok{};  ///< FEATURES_OK
    static constexpr Bit<DeviceStatus, 6> needs_reset{};  ///< DEVICE_NEEDS_RESET
    static constexpr Bit<DeviceStatus, 7> failed{};       ///< FAILED
};

/// Changes with the device-specific configuration, config_generation.
struct ConfigurationGeneration : Register<ConfigurationGeneration, std::uint8_t, 0x15, Access::read_only> {};

/// Selects the queue that the registers below are about, queue_select.
struct QueueSelect : Register<QueueSelect, std::uint16_t, 0x16, Access::read_write> {};
/// Descriptors of the queue: the most that are possible, until it is written; 0: there is no such queue,
/// queue_size.
struct QueueSize : Register<QueueSize, std::uint16_t, 0x18, Access::read_write> {};
/// queue_msix_vector.
struct QueueVector : Register<QueueVector, std::uint16_t, 0x1a, Access::read_write> {};
/// queue_enable.
struct QueueEnable : Register<QueueEnable, std::uint16_t, 0x1c, Access::read_write> {};
/// Where its notifications go, in units of the multiplier, queue_notify_off.
struct QueueNotifyOffset : Register<QueueNotifyOffset, std::uint16_t, 0x1e, Access::read_only> {};
/// The three parts of a queue, each in two halves: a driver writes 64-bit fields so (4.1.3.1).
struct QueueDescriptorsLow : Register<QueueDescriptorsLow, std::uint32_t, 0x20, Access::read_write> {};
struct QueueDescriptorsHigh : Register<QueueDescriptorsHigh, std::uint32_t, 0x24, Access::read_write> {};
struct QueueDriverLow : Register<QueueDriverLow, std::uint32_t, 0x28, Access::read_write> {};
struct QueueDriverHigh : Register<QueueDriverHigh, std::uint32_t, 0x2c, Access::read_write> {};
struct QueueDeviceLow : Register<QueueDeviceLow, std::uint32_t, 0x30, Access::read_write> {};
struct QueueDeviceHigh : Register<QueueDeviceHigh, std::uint32_t, 0x34, Access::read_write> {};

/// VIRTIO_MSI_NO_VECTOR: no interrupt, or the device could not set it up.
inline constexpr std::uint16_t no_vector = 0xffff;

/// ISR status, in a block of its own. Reading it clears it and lowers INTx.
struct InterruptStatus : Register<InterruptStatus, std::uint8_t, 0, Access::read_only> {
    static constexpr Bit<InterruptStatus, 0> queue{};
    static constexpr Bit<InterruptStatus, 1> configuration{};
};
inline constexpr std::size_t interrupt_status_bytes = 1;

/// A queue's notification, in a block of its own: its index is written.
struct Notification : Register<Notification, std::uint16_t, 0, Access::write_only> {};
inline constexpr std::size_t notification_bytes = 2;

/// A device that is gone reads as all ones.
constexpr bool all_ones(Value<DeviceStatus> status) noexcept {
    return status.raw() == 0xff;
}

}  // namespace outboard::virtio
