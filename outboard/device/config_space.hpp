// PCI configuration space (PCI Local Bus 3.0 chapter 6, PCI Express 5.0 chapter 7) of an opened device.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/backend/pci/identity.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace outboard {

/// Capability identifiers (PCI Code and ID Assignment, section 2).
enum class CapabilityId : std::uint8_t {
    power_management = 0x01,
    msi = 0x05,
    vendor_specific = 0x09,
    pci_express = 0x10,
    msix = 0x11,
};

/// Where a capability lies. `extended` ones are above offset 0x100 and have identifiers of their own.
struct Capability {
    std::uint16_t id = 0;
    std::uint16_t offset = 0;
    bool extended = false;
};

/// Walks the capability lists in `bytes` of configuration space (256, or 4096 with the extended ones;
/// PCI 3.0, 6.7, and PCI Express 5.0, 7.6.3). The bytes are the device's word: pointers outside, loops and
/// overlaps end the walk, never the process. Every capability in the result has a four-byte header of its own
/// inside `bytes`.
std::vector<Capability> parse_capabilities(std::span<const std::byte> bytes);

/// Identity from the first 64 bytes of configuration space; bytes that are missing read as zero.
PciIdentity parse_identity(std::span<const std::byte> bytes);

/// Configuration space of an opened device; little-endian on the bus, host order here. Throws Error on access
/// errors.
class ConfigSpace {
  public:
    explicit ConfigSpace(Backend& backend) noexcept : backend_(&backend) {}

    std::uint8_t read8(std::uint16_t offset) const { return static_cast<std::uint8_t>(read(offset, 1)); }
    std::uint16_t read16(std::uint16_t offset) const { return static_cast<std::uint16_t>(read(offset, 2)); }
    std::uint32_t read32(std::uint16_t offset) const { return read(offset, 4); }
    void write8(std::uint16_t offset, std::uint8_t value) { write(offset, value, 1); }
    void write16(std::uint16_t offset, std::uint16_t value) { write(offset, value, 2); }
    void write32(std::uint16_t offset, std::uint32_t value) { write(offset, value, 4); }

    PciIdentity identity() const;
    /// The device's capabilities in the order of its lists, read anew with each call.
    std::vector<Capability> capabilities() const;
    /// Offset of the first (not extended) capability with this identifier.
    std::optional<std::uint16_t> find(CapabilityId id) const;

  private:
    std::uint32_t read(std::uint16_t offset, unsigned size) const;
    void write(std::uint16_t offset, std::uint32_t value, unsigned size);

    Backend* backend_;
};

}  // namespace outboard
