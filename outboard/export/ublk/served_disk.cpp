#include "outboard/export/ublk/served_disk.hpp"

#include <fmt/format.h>

namespace outboard::ublk {

namespace {

// Bits 63–52 magic, 51–32 domain, 31–24 bus, 23–19 device, 18–16 function, 15–12 disk, 11–1 identity,
// 0 hand back. A vfio-user device has a magic of its own and 51–16 the mark of its socket.
constexpr std::uint64_t pci_magic = 0xb0d;
constexpr std::uint64_t socket_magic = 0xb0e;
constexpr unsigned magic_shift = 52;
constexpr unsigned socket_shift = 16;
constexpr std::uint64_t socket_mask = 0xf'ffff'ffff;
constexpr unsigned domain_shift = 32;
constexpr unsigned bus_shift = 24;
constexpr unsigned device_shift = 19;
constexpr unsigned function_shift = 16;
constexpr unsigned disk_shift = 12;
constexpr unsigned identity_shift = 1;
constexpr std::uint64_t identity_mask = 0x7ff;
constexpr std::uint64_t hand_back_bit = 0x1;

/// FNV-1a, byte by byte.
class Hash {
  public:
    void add(unsigned char byte) noexcept { value_ = (value_ ^ byte) * 0x100000001b3U; }
    void add(std::string_view text) noexcept {
        for (const char character : text)
            add(static_cast<unsigned char>(character));
    }
    std::uint64_t value() const noexcept { return value_; }

  private:
    std::uint64_t value_ = 0xcbf29ce484222325U;
};

}  // namespace

std::string ServedDisk::device_name() const {
    if (socket != 0)
        return "vfio-user:PATH";
    return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, device, function);
}

std::uint64_t socket_mark(std::string_view path) noexcept {
    Hash hash;
    hash.add(path);
    const std::uint64_t mark = (hash.value() ^ hash.value() >> 36) & socket_mask;
    return mark != 0 ? mark : 1;
}

std::uint16_t identity_of(std::string_view model, std::string_view serial) noexcept {
    // A byte between the two keeps "AB" + "C" apart from "A" + "BC".
    Hash hash;
    hash.add(model);
    hash.add(0);
    hash.add(serial);
    const std::uint64_t all = hash.value();
    return static_cast<std::uint16_t>((all ^ all >> 11 ^ all >> 22 ^ all >> 33) & identity_mask);
}

std::uint64_t encode(const ServedDisk& disk) noexcept {
    const std::uint64_t place = disk.socket != 0
                                    ? socket_magic << magic_shift | disk.socket << socket_shift
                                    : pci_magic << magic_shift | std::uint64_t{disk.domain} << domain_shift |
                                          std::uint64_t{disk.bus} << bus_shift |
                                          std::uint64_t{disk.device} << device_shift |
                                          std::uint64_t{disk.function} << function_shift;
    return place | std::uint64_t{disk.disk} << disk_shift | std::uint64_t{disk.identity} << identity_shift |
           (disk.hand_back ? hand_back_bit : 0);
}

std::optional<ServedDisk> decode_served_disk(std::uint64_t server_flags) noexcept {
    ServedDisk disk{.disk = static_cast<std::uint8_t>(server_flags >> disk_shift & ServedDisk::max_disk),
                    .identity = static_cast<std::uint16_t>(server_flags >> identity_shift & identity_mask),
                    .hand_back = (server_flags & hand_back_bit) != 0};
    if (server_flags >> magic_shift == socket_magic) {
        disk.socket = server_flags >> socket_shift & socket_mask;
        return disk.socket != 0 ? std::optional(disk) : std::nullopt;
    }
    if (server_flags >> magic_shift != pci_magic)
        return std::nullopt;
    disk.domain = static_cast<std::uint32_t>(server_flags >> domain_shift) & ServedDisk::max_domain;
    disk.bus = static_cast<std::uint8_t>(server_flags >> bus_shift);
    disk.device = static_cast<std::uint8_t>(server_flags >> device_shift & 0x1f);
    disk.function = static_cast<std::uint8_t>(server_flags >> function_shift & 0x7);
    return disk;
}

}  // namespace outboard::ublk
