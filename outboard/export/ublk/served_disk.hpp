// Which disk a ublk device serves, kept by the kernel in 64 bits that are the server's own. So a device that
// a killed process left behind is recognized without a file of state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace outboard::ublk {

/// A disk of a device, and what has to be known at its end.
struct ServedDisk {
    /// Of a vfio-user device: socket_mark of the path of its socket, and the address below is zero. 0 for a
    /// PCI device.
    std::uint64_t socket = 0;
    std::uint32_t domain = 0;  ///< at most max_domain
    std::uint8_t bus = 0;
    std::uint8_t device = 0;    ///< 0 … 31
    std::uint8_t function = 0;  ///< 0 … 7
    std::uint8_t disk = 0;      ///< index in the driver's own order; at most max_disk
    /// Of model and serial number, see identity_of: the index may mean another disk tomorrow.
    std::uint16_t identity = 0;
    bool hand_back = false;  ///< the process that made it had taken the PCI device from a kernel driver

    static constexpr std::uint32_t max_domain = 0xfffff;
    static constexpr std::uint8_t max_disk = 0xf;

    bool same_device(const ServedDisk& other) const noexcept {
        return socket == other.socket && domain == other.domain && bus == other.bus &&
               device == other.device && function == other.function;
    }
    /// The same place of the same device, whatever is there and has to be done at the end.
    bool same_place(const ServedDisk& other) const noexcept {
        return same_device(other) && disk == other.disk;
    }
    bool operator==(const ServedDisk&) const noexcept = default;

    /// What to call the device: a full BDF, "0000:00:04.0", or "vfio-user:PATH" in these words, for the path
    /// itself is not kept.
    std::string device_name() const;
};

/// 36 bits, not all zero, that differ for nearly all pairs of paths.
std::uint64_t socket_mark(std::string_view path) noexcept;

/// 11 bits that differ for nearly all pairs of disks.
std::uint16_t identity_of(std::string_view model, std::string_view serial) noexcept;

/// As the kernel keeps it (DeviceInfo::server_flags). The fields are within their ranges.
std::uint64_t encode(const ServedDisk& disk) noexcept;

/// What `server_flags` says, or nothing when another program made the device.
std::optional<ServedDisk> decode_served_disk(std::uint64_t server_flags) noexcept;

}  // namespace outboard::ublk
