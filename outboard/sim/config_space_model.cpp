#include "outboard/sim/config_space_model.hpp"

#include <algorithm>
#include <bit>

namespace outboard::sim {

namespace {

// The header, type 0 (PCI 3.0, 6.1).
constexpr std::size_t vendor_id = 0x00;
constexpr std::size_t device_id = 0x02;
constexpr std::size_t command = 0x04;
constexpr std::size_t status = 0x06;
constexpr std::size_t revision_and_class = 0x08;
constexpr std::size_t cache_line_size = 0x0c;
constexpr std::size_t latency_timer = 0x0d;
constexpr std::size_t first_bar = 0x10;
constexpr std::size_t subsystem_vendor_id = 0x2c;
constexpr std::size_t subsystem_id = 0x2e;
constexpr std::size_t capabilities_pointer = 0x34;
constexpr std::size_t interrupt_line = 0x3c;
constexpr std::size_t interrupt_pin = 0x3d;
constexpr std::size_t header_bytes = 0x40;

// Command (6.2.2) and status (6.2.3).
constexpr std::uint32_t command_ports = 1U << 0;
constexpr std::uint32_t command_memory = 1U << 1;
constexpr std::uint32_t command_bus_master = 1U << 2;
constexpr std::uint32_t command_writable = 0x0547;  // parity, SERR and interrupt disable besides
constexpr std::uint32_t command_line_disable = 1U << 10;
constexpr std::uint32_t status_line = 1U << 3;
constexpr std::uint32_t status_capabilities = 1U << 4;

// Base address registers (6.2.5.1).
constexpr std::uint32_t bar_port = 1U << 0;
constexpr std::uint32_t bar_64_bits = 2U << 1;
constexpr std::uint32_t bar_prefetchable = 1U << 3;

// Capabilities: power management (PCI PM 1.2, 3.2), MSI (PCI 3.0, 6.8.1), MSI-X (6.8.2).
constexpr std::uint8_t power_management_id = 0x01;
constexpr std::uint8_t msi_id = 0x05;
constexpr std::uint8_t vendor_specific_id = 0x09;
constexpr std::uint8_t pci_express_id = 0x10;
constexpr std::uint8_t msix_id = 0x11;
constexpr std::uint32_t msi_enable = 1U << 0;
constexpr std::uint32_t msi_granted = 7U << 4;
constexpr std::uint32_t msi_64_bits = 1U << 7;
constexpr std::uint32_t msix_enable = 1U << 15;
constexpr std::uint32_t msix_function_mask = 1U << 14;

}  // namespace

ConfigSpaceModel::ConfigSpaceModel(const PciDescription& description)
    : bytes_(description.pci_express ? 4096 : 256),
      writable_(bytes_.size()),
      last_pointer_(capabilities_pointer),
      free_(header_bytes) {
    define_header(description);
    for (unsigned index = 0; index < bar_count; ++index)
        define_bar(index, description.bars[index]);
    if (description.power_management) {
        const std::size_t base = add_capability(power_management_id, 8);
        define(base + 2, 2, 3, 0);          // version 3; no events, no D1, no D2
        define(base + 4, 2, 1U << 3, 0x3);  // a change to D0 resets nothing; the power state
    }
    if (description.msi_vectors > 0) {
        msi_ = add_capability(msi_id, 14);
        const auto capable = static_cast<std::uint32_t>(std::countr_zero(description.msi_vectors)) << 1;
        define(msi_ + 2, 2, msi_64_bits | capable, msi_enable | msi_granted);
        define(msi_ + 4, 4, 0, 0xfffffffc);
        define(msi_ + 8, 4, 0, 0xffffffff);
        define(msi_ + 12, 2, 0, 0xffff);
    }
    if (description.msix.vectors > 0)
        define_msix(description.msix);
    if (description.pci_express)
        define_pci_express();
}

void ConfigSpaceModel::define_header(const PciDescription& description) noexcept {
    define(vendor_id, 2, description.vendor, 0);
    define(device_id, 2, description.device, 0);
    define(command, 2, 0, command_writable);
    define(revision_and_class, 4, description.class_code << 8 | description.revision, 0);
    define(cache_line_size, 1, 0, 0xff);
    define(latency_timer, 1, 0, description.pci_express ? 0 : 0xff);
    define(subsystem_vendor_id, 2, description.subsystem_vendor, 0);
    define(subsystem_id, 2, description.subsystem, 0);
    define(interrupt_line, 1, 0, 0xff);
    define(interrupt_pin, 1, description.interrupt_line ? 1 : 0, 0);
}

void ConfigSpaceModel::define_bar(unsigned index, const BarDescription& bar) noexcept {
    bars_[index] = bar.kind;
    if (bar.kind == BarKind::none)
        return;
    // The address bits below the size read as zero whatever is written: so a client finds the size.
    const std::uint64_t address_bits = ~(bar.size - 1);
    const std::size_t offset = first_bar + std::size_t{4} * index;
    if (bar.kind == BarKind::port) {
        define(offset, 4, bar_port, static_cast<std::uint32_t>(address_bits));
        return;
    }
    std::uint32_t flags = bar.prefetchable ? bar_prefetchable : 0;
    if (bar.kind == BarKind::memory64) {
        flags |= bar_64_bits;
        define(offset + 4, 4, 0, static_cast<std::uint32_t>(address_bits >> 32));
    }
    define(offset, 4, flags, static_cast<std::uint32_t>(address_bits));
}

std::size_t ConfigSpaceModel::add_capability(std::uint8_t id, std::size_t size) noexcept {
    const std::size_t base = free_;
    define(last_pointer_, 1, static_cast<std::uint32_t>(base), 0);
    define(base, 1, id, 0);
    put(status, 2, get(status, 2) | status_capabilities);
    last_pointer_ = base + 1;
    free_ = (base + size + 3) & ~std::size_t{3};
    return base;
}

void ConfigSpaceModel::add_vendor_capability(std::span<const std::byte> content) noexcept {
    const std::size_t base = add_capability(vendor_specific_id, 2 + content.size());
    for (std::size_t i = 0; i < content.size(); ++i)
        define(base + 2 + i, 1, std::to_integer<std::uint32_t>(content[i]), 0);
}

void ConfigSpaceModel::define_msix(const MsixDescription& msix) noexcept {
    msix_ = add_capability(msix_id, 12);
    define(msix_ + 2, 2, msix.vectors - 1, msix_enable | msix_function_mask);
    define(msix_ + 4, 4, msix.table_offset | msix.table_bar, 0);
    define(msix_ + 8, 4, msix.pending_offset | msix.pending_bar, 0);
}

/// An endpoint on a link of one lane at 2.5 GT/s (PCI Express 5.0, 7.5.3).
void ConfigSpaceModel::define_pci_express() noexcept {
    const std::size_t base = add_capability(pci_express_id, 60);
    define(base + 0x02, 2, 0x0002, 0);       // version 2, endpoint
    define(base + 0x04, 4, 1U << 15, 0);     // role-based error reporting
    define(base + 0x08, 2, 0x2810, 0x7fff);  // device control as after reset; no function-level reset
    define(base + 0x0c, 4, 1U << 4 | 1, 0);  // link capabilities: x1, 2.5 GT/s
    define(base + 0x10, 2, 0, 0x0fc3);       // link control
    define(base + 0x12, 2, 1U << 4 | 1, 0);  // link status: likewise
    define(base + 0x2c, 4, 1U << 1, 0);      // link capabilities 2: 2.5 GT/s
    define(base + 0x30, 2, 1, 0x000f);       // link control 2
}

void ConfigSpaceModel::read(std::size_t offset, std::span<std::byte> data) const noexcept {
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), data.size(), data.begin());
}

void ConfigSpaceModel::write(std::size_t offset, std::span<const std::byte> data) noexcept {
    for (std::size_t i = 0; i < data.size(); ++i) {
        const std::byte mask = writable_[offset + i];
        bytes_[offset + i] = (bytes_[offset + i] & ~mask) | (data[i] & mask);
    }
}

bool ConfigSpaceModel::memory_enabled() const noexcept {
    return (get(command, 2) & command_memory) != 0;
}

bool ConfigSpaceModel::ports_enabled() const noexcept {
    return (get(command, 2) & command_ports) != 0;
}

bool ConfigSpaceModel::bus_master() const noexcept {
    return (get(command, 2) & command_bus_master) != 0;
}

bool ConfigSpaceModel::line_disabled() const noexcept {
    return (get(command, 2) & command_line_disable) != 0;
}

bool ConfigSpaceModel::msi_enabled() const noexcept {
    return msi_ != 0 && (get(msi_ + 2, 2) & msi_enable) != 0;
}

unsigned ConfigSpaceModel::msi_vectors() const noexcept {
    const std::uint32_t control = get(msi_ + 2, 2);
    // A client may grant more than the device is capable of; the field means a power of two.
    return 1U << std::min(control >> 4 & 7, control >> 1 & 7);
}

bool ConfigSpaceModel::msix_enabled() const noexcept {
    return msix_ != 0 && (get(msix_ + 2, 2) & msix_enable) != 0;
}

bool ConfigSpaceModel::msix_masked() const noexcept {
    return msix_ != 0 && (get(msix_ + 2, 2) & msix_function_mask) != 0;
}

std::uint64_t ConfigSpaceModel::bar_address(unsigned bar) const noexcept {
    const std::size_t offset = first_bar + std::size_t{4} * bar;
    switch (bars_[bar]) {
        case BarKind::port:
            return get(offset, 4) & ~std::uint32_t{3};
        case BarKind::memory32:
            return get(offset, 4) & ~std::uint32_t{15};
        case BarKind::memory64:
            return std::uint64_t{get(offset + 4, 4)} << 32 | (get(offset, 4) & ~std::uint32_t{15});
        case BarKind::none:
            break;
    }
    return 0;
}

void ConfigSpaceModel::show_line(bool asserted) noexcept {
    const std::uint32_t others = get(status, 2) & ~status_line;
    put(status, 2, asserted ? others | status_line : others);
}

void ConfigSpaceModel::enable_msi(unsigned vectors) noexcept {
    if (msi_ == 0)
        return;
    const auto granted = static_cast<std::uint32_t>(std::bit_width(std::max(vectors, 1U) - 1)) << 4;
    put(msi_ + 2, 2, (get(msi_ + 2, 2) & ~msi_granted) | granted | msi_enable);
    disable_msix();
}

void ConfigSpaceModel::enable_msix() noexcept {
    if (msix_ == 0)
        return;
    put(msix_ + 2, 2, get(msix_ + 2, 2) | msix_enable);
    disable_msi();
}

void ConfigSpaceModel::disable_msi() noexcept {
    if (msi_ != 0)
        put(msi_ + 2, 2, get(msi_ + 2, 2) & ~msi_enable);
}

void ConfigSpaceModel::disable_msix() noexcept {
    if (msix_ != 0)
        put(msix_ + 2, 2, get(msix_ + 2, 2) & ~msix_enable);
}

void ConfigSpaceModel::define(std::size_t offset, unsigned width, std::uint32_t value,
                              std::uint32_t writable) noexcept {
    put(offset, width, value);
    for (unsigned i = 0; i < width; ++i)
        writable_[offset + i] = static_cast<std::byte>(writable >> (8 * i));
}

std::uint32_t ConfigSpaceModel::get(std::size_t offset, unsigned width) const noexcept {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < width; ++i)
        value |= std::to_integer<std::uint32_t>(bytes_[offset + i]) << (8 * i);
    return value;
}

void ConfigSpaceModel::put(std::size_t offset, unsigned width, std::uint32_t value) noexcept {
    for (unsigned i = 0; i < width; ++i)
        bytes_[offset + i] = static_cast<std::byte>(value >> (8 * i));
}

}  // namespace outboard::sim
