// Which disk a ublk device serves, kept by the kernel in 64 bits that are the server's own. So a device that
// a killed process left behind is recognized without a file of state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace outboard::ublk {

/// A disk of a PCI device, and what has to be known at its end.
struct ServedDisk {
    std::uint32_t domain = 0;  ///< at most max_domain
    std::uint8_t bus = 0;
    std::uint8_t device = 0;    ///< 0 … 31
    std::uint8_t function = 0;  ///< 0 … 7
    std::uint8_t disk = 0;      ///< index in the driver's own order
    bool hand_back = false;     ///< the process that made it had taken the PCI device from a kernel driver

    static constexpr std::uint32_t max_domain = 0xfffff;

    /// The same disk of the same device, whatever has to be done at the end.
    bool same_disk(const ServedDisk& other) const noexcept {
        return domain == other.domain && bus == other.bus && device == other.device &&
               function == other.function && disk == other.disk;
    }
    bool operator==(const ServedDisk&) const noexcept = default;

    /// The PCI device as a full BDF: "0000:00:04.0".
    std::string bdf() const;
};

/// As the kernel keeps it (DeviceInfo::server_flags). The fields are within their ranges.
std::uint64_t encode(const ServedDisk& disk) noexcept;

/// What `server_flags` says, or nothing when another program made the device.
std::optional<ServedDisk> decode_served_disk(std::uint64_t server_flags) noexcept;

}  // namespace outboard::ublk
