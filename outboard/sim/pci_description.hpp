// What a simulated PCI device is: everything that does not change while it is served.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace outboard::sim {

inline constexpr unsigned bar_count = 6;

enum class BarKind { none, memory32, memory64, port };

/// A part of a BAR that clients map into their own address space: they reach it without a message, and the
/// model finds what they wrote in PciModel::shared(). Whole pages of 4096 bytes.
struct SharedArea {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};

/// A base address register. A 64-bit one takes the number after its own as well, which stays `none`.
struct BarDescription {
    BarKind kind = BarKind::none;
    /// Bytes, a power of two; memory: 16 to 2^40, ports: 4 to 256, or fewer where the model takes the
    /// register away again because the ports are fixed.
    std::uint64_t size = 0;
    bool prefetchable = false;
    std::vector<SharedArea> shared{};  ///< ascending, apart from one another
};

/// Where the MSI-X table and its pending bits lie: in memory BARs, outside their shared areas, 8-byte
/// aligned.
struct MsixDescription {
    unsigned vectors = 0;  ///< 0: the device has no MSI-X; at most 2048
    unsigned table_bar = 0;
    std::uint32_t table_offset = 0;  ///< 16 bytes a vector from there
    unsigned pending_bar = 0;
    std::uint32_t pending_offset = 0;  ///< a bit a vector, in units of 8 bytes
};

struct PciDescription {
    std::string name{};  ///< what messages call the model: "edu"
    std::uint16_t vendor = 0;
    std::uint16_t device = 0;
    std::uint32_t class_code = 0xff0000;  ///< base class, subclass and programming interface, 24 bits
    std::uint8_t revision = 0;
    std::uint16_t subsystem_vendor = 0;
    std::uint16_t subsystem = 0;
    std::array<BarDescription, bar_count> bars{};
    bool interrupt_line = false;  ///< it has INTx, on pin A
    unsigned msi_vectors = 0;     ///< 0, 1, 2, 4, 8, 16 or 32
    MsixDescription msix{};
    bool power_management = false;  ///< has that capability
    bool pci_express = false;       ///< has that capability, and 4096 bytes of configuration space
};

/// Throws Error (kind usage) that says what is wrong with a description, if anything is.
void check(const PciDescription& description);

}  // namespace outboard::sim
