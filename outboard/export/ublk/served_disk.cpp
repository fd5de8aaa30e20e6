#include "outboard/export/ublk/served_disk.hpp"

#include <fmt/format.h>

namespace outboard::ublk {

namespace {

// Bits 63–52 magic, 51–32 domain, 31–24 bus, 23–19 device, 18–16 function, 15–12 disk, 11–1 identity,
// 0 hand back.
constexpr std::uint64_t magic = 0xb0d;
constexpr unsigned magic_shift = 52;
constexpr unsigned domain_shift = 32;
constexpr unsigned bus_shift = 24;
constexpr unsigned device_shift = 19;
constexpr unsigned function_shift = 16;
constexpr unsigned disk_shift = 12;
constexpr unsigned identity_shift = 1;
constexpr std::uint64_t identity_mask = 0x7ff;
constexpr std::uint64_t hand_back_bit = 0x1;

}  // namespace

std::string ServedDisk::bdf() const {
    return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, device, function);
}

std::uint16_t identity_of(std::string_view model, std::string_view serial) noexcept {
    // FNV-1a, folded. A byte between the two keeps "AB" + "C" apart from "A" + "BC".
    std::uint64_t hash = 0xcbf29ce484222325U;
    const auto add = [&hash](unsigned char byte) { hash = (hash ^ byte) * 0x100000001b3U; };
    for (const char character : model)
        add(static_cast<unsigned char>(character));
    add(0);
    for (const char character : serial)
        add(static_cast<unsigned char>(character));
    return static_cast<std::uint16_t>((hash ^ hash >> 11 ^ hash >> 22 ^ hash >> 33) & identity_mask);
}

std::uint64_t encode(const ServedDisk& disk) noexcept {
    return magic << magic_shift | std::uint64_t{disk.domain} << domain_shift |
           std::uint64_t{disk.bus} << bus_shift | std::uint64_t{disk.device} << device_shift |
           std::uint64_t{disk.function} << function_shift | std::uint64_t{disk.disk} << disk_shift |
           std::uint64_t{disk.identity} << identity_shift | (disk.hand_back ? hand_back_bit : 0);
}

std::optional<ServedDisk> decode_served_disk(std::uint64_t server_flags) noexcept {
    if (server_flags >> magic_shift != magic)
        return std::nullopt;
    return ServedDisk{
        .domain = static_cast<std::uint32_t>(server_flags >> domain_shift) & ServedDisk::max_domain,
        .bus = static_cast<std::uint8_t>(server_flags >> bus_shift),
        .device = static_cast<std::uint8_t>(server_flags >> device_shift & 0x1f),
        .function = static_cast<std::uint8_t>(server_flags >> function_shift & 0x7),
        .disk = static_cast<std::uint8_t>(server_flags >> disk_shift & ServedDisk::max_disk),
        .identity = static_cast<std::uint16_t>(server_flags >> identity_shift & identity_mask),
        .hand_back = (server_flags & hand_back_bit) != 0};
}

}  // namespace outboard::ublk
