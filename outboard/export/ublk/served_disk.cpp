#include "outboard/export/ublk/served_disk.hpp"

#include <fmt/format.h>

namespace outboard::ublk {

namespace {

// Bits 63–48 magic, 47–28 domain, 27–20 bus, 19–15 device, 14–12 function, 11–4 disk, 3–1 zero, 0 hand back.
constexpr std::uint64_t magic = 0x0b0d;
constexpr unsigned magic_shift = 48;
constexpr unsigned domain_shift = 28;
constexpr unsigned bus_shift = 20;
constexpr unsigned device_shift = 15;
constexpr unsigned function_shift = 12;
constexpr unsigned disk_shift = 4;
constexpr std::uint64_t reserved_bits = 0xe;
constexpr std::uint64_t hand_back_bit = 0x1;

}  // namespace

std::string ServedDisk::bdf() const {
    return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, device, function);
}

std::uint64_t encode(const ServedDisk& disk) noexcept {
    return magic << magic_shift | std::uint64_t{disk.domain} << domain_shift |
           std::uint64_t{disk.bus} << bus_shift | std::uint64_t{disk.device} << device_shift |
           std::uint64_t{disk.function} << function_shift | std::uint64_t{disk.disk} << disk_shift |
           (disk.hand_back ? hand_back_bit : 0);
}

std::optional<ServedDisk> decode_served_disk(std::uint64_t server_flags) noexcept {
    if (server_flags >> magic_shift != magic || (server_flags & reserved_bits) != 0)
        return std::nullopt;
    return ServedDisk{
        .domain = static_cast<std::uint32_t>(server_flags >> domain_shift) & ServedDisk::max_domain,
        .bus = static_cast<std::uint8_t>(server_flags >> bus_shift),
        .device = static_cast<std::uint8_t>(server_flags >> device_shift & 0x1f),
        .function = static_cast<std::uint8_t>(server_flags >> function_shift & 0x7),
        .disk = static_cast<std::uint8_t>(server_flags >> disk_shift),
        .hand_back = (server_flags & hand_back_bit) != 0};
}

}  // namespace outboard::ublk
