#include "outboard/device/config_space.hpp"

#include "outboard/base/endian.hpp"
#include "outboard/base/error.hpp"

#include <algorithm>
#include <bitset>

#include <fmt/format.h>

namespace outboard {

namespace {

constexpr std::size_t standard_size = 256;
constexpr std::size_t extended_size = 4096;
constexpr std::size_t header_size = 64;
constexpr std::uint16_t status_offset = 0x06;
constexpr std::uint16_t status_has_capabilities = 1 << 4;
constexpr std::uint16_t list_offset = 0x34;

/// Integers in configuration space; what lies outside reads as zero.
std::uint32_t read_little(std::span<const std::byte> bytes, std::size_t offset, unsigned size) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < size && offset + i < bytes.size(); ++i)
        value |= std::to_integer<std::uint32_t>(bytes[offset + i]) << (8 * i);
    return value;
}

/// Where the headers of a list may lie: [first, end).
struct Bounds {
    std::size_t first = 0;
    std::size_t end = 0;
};

using Visited = std::bitset<extended_size / 4>;

/// True when a header at `offset` lies inside the bounds and shares no byte with one met before; marks it.
bool visit(Visited& visited, std::size_t offset, const Bounds& bounds) {
    if (offset < bounds.first || offset + 4 > bounds.end || visited[offset / 4])
        return false;
    visited.set(offset / 4);
    return true;
}

}  // namespace

std::vector<Capability> parse_capabilities(std::span<const std::byte> bytes) {
    std::vector<Capability> found;
    Visited visited;
    const Bounds standard{.first = header_size, .end = std::min(bytes.size(), standard_size)};
    if ((read_little(bytes, status_offset, 2) & status_has_capabilities) != 0) {
        // The two low bits of a pointer are reserved (PCI 3.0, 6.7).
        std::size_t offset = read_little(bytes, list_offset, 1) & 0xfc;
        while (visit(visited, offset, standard)) {
            found.push_back({.id = static_cast<std::uint16_t>(read_little(bytes, offset, 1)),
                             .offset = static_cast<std::uint16_t>(offset),
                             .extended = false});
            offset = read_little(bytes, offset + 1, 1) & 0xfc;
        }
    }
    const Bounds extended{.first = standard_size, .end = std::min(bytes.size(), extended_size)};
    std::size_t offset = standard_size;
    while (visit(visited, offset, extended)) {
        // Bits 15:0 identifier, 19:16 version, 31:20 the next one (PCI Express 5.0, 7.6.3).
        const std::uint32_t header = read_little(bytes, offset, 4);
        if (header == 0 || header == 0xffffffff)
            break;
        found.push_back({.id = static_cast<std::uint16_t>(header),
                         .offset = static_cast<std::uint16_t>(offset),
                         .extended = true});
        offset = header >> 20 & 0xffc;
    }
    return found;
}

PciIdentity parse_identity(std::span<const std::byte> bytes) {
    return {.vendor = static_cast<std::uint16_t>(read_little(bytes, 0x00, 2)),
            .device = static_cast<std::uint16_t>(read_little(bytes, 0x02, 2)),
            .subsystem_vendor = static_cast<std::uint16_t>(read_little(bytes, 0x2c, 2)),
            .subsystem = static_cast<std::uint16_t>(read_little(bytes, 0x2e, 2)),
            .revision = static_cast<std::uint8_t>(read_little(bytes, 0x08, 1)),
            .base_class = static_cast<std::uint8_t>(read_little(bytes, 0x0b, 1)),
            .sub_class = static_cast<std::uint8_t>(read_little(bytes, 0x0a, 1)),
            .programming_interface = static_cast<std::uint8_t>(read_little(bytes, 0x09, 1))};
}

PciIdentity ConfigSpace::identity() const {
    std::vector<std::byte> bytes(header_size);
    if (const int error = backend_->read_region(RegionIndex::config, 0, bytes); error != 0)
        throw_errno(error, "read the configuration space of", backend_->name());
    return parse_identity(bytes);
}

std::vector<Capability> ConfigSpace::capabilities() const {
    std::vector<std::byte> bytes(
        std::min<std::uint64_t>(backend_->region_info(RegionIndex::config).size, extended_size));
    // Four bytes at a time: one access on the bus each, which every device understands.
    for (std::size_t offset = 0; offset + 4 <= bytes.size(); offset += 4)
        if (const int error =
                backend_->read_region(RegionIndex::config, offset, std::span(bytes).subspan(offset, 4));
            error != 0)
            throw_errno(error, "read the configuration space of", backend_->name());
    return parse_capabilities(bytes);
}

std::optional<std::uint16_t> ConfigSpace::find(CapabilityId id) const {
    for (const Capability& capability : capabilities())
        if (!capability.extended && capability.id == static_cast<std::uint16_t>(id))
            return capability.offset;
    return std::nullopt;
}

std::uint32_t ConfigSpace::read(std::uint16_t offset, unsigned size) const {
    Le32 value = 0;
    const auto bytes = std::as_writable_bytes(std::span(&value, 1)).first(size);
    if (const int error = backend_->read_region(RegionIndex::config, offset, bytes); error != 0)
        throw_errno(error, fmt::format("read {} bytes at {:#x} of the configuration space of", size, offset),
                    backend_->name());
    return value;
}

void ConfigSpace::write(std::uint16_t offset, std::uint32_t value, unsigned size) {
    const Le32 stored = value;
    const auto bytes = std::as_bytes(std::span(&stored, 1)).first(size);
    if (const int error = backend_->write_region(RegionIndex::config, offset, bytes); error != 0)
        throw_errno(error, fmt::format("write {} bytes at {:#x} of the configuration space of", size, offset),
                    backend_->name());
}

}  // namespace outboard
