// PCI configuration space as a device presents it: header, base address registers that can be sized, and the
// capability list (PCI Local Bus 3.0, chapter 6; PCI Express 5.0, chapter 7).
#pragma once

#include "outboard/sim/pci_description.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace outboard::sim {

/// The registers and which of their bits can be written. Used by the thread that serves the device.
class ConfigSpaceModel {
  public:
    /// Makes the registers as they are after power-on. The description was checked.
    explicit ConfigSpaceModel(const PciDescription& description);

    /// 256 bytes, or 4096 of a PCI Express device.
    std::size_t size() const noexcept { return bytes_.size(); }

    /// Reads or writes any bytes inside size(); a write changes the bits that are writable.
    void read(std::size_t offset, std::span<std::byte> data) const noexcept;
    void write(std::size_t offset, std::span<const std::byte> data) noexcept;

    // ---- what the registers say ----

    bool memory_enabled() const noexcept;
    bool ports_enabled() const noexcept;
    bool bus_master() const noexcept;
    bool line_disabled() const noexcept;  ///< the command register's interrupt-disable bit
    bool msi_enabled() const noexcept;
    unsigned msi_vectors() const noexcept;  ///< how many messages were granted, when MSI is enabled
    bool msix_enabled() const noexcept;
    bool msix_masked() const noexcept;  ///< the function mask
    /// Where a BAR was placed; the upper half of a 64-bit one counts in.
    std::uint64_t bar_address(unsigned bar) const noexcept;

    // ---- what the device's side changes ----

    /// The interrupt-status bit of the status register.
    void show_line(bool asserted) noexcept;
    /// Enables MSI with room for `vectors` messages, or MSI-X, or disables them. A device has one of the two
    /// enabled at a time.
    void enable_msi(unsigned vectors) noexcept;
    void enable_msix() noexcept;
    void disable_msi() noexcept;
    void disable_msix() noexcept;

    /// Gives a register of the model's own, or one of the header, a value and the bits that a client may
    /// write: `width` is 1, 2 or 4 bytes, and the register lies inside size().
    void define(std::size_t offset, unsigned width, std::uint32_t value, std::uint32_t writable) noexcept;
    /// Adds a vendor-specific capability, which clients cannot write to; `content` follows its identifier and
    /// the pointer to the next one. There is room for what a device has in practice: 256 bytes hold the
    /// header and all capabilities.
    void add_vendor_capability(std::span<const std::byte> content) noexcept;
    /// The value of `width` bytes (1, 2 or 4) inside size().
    std::uint32_t get(std::size_t offset, unsigned width) const noexcept;

  private:
    void put(std::size_t offset, unsigned width, std::uint32_t value) noexcept;
    std::size_t add_capability(std::uint8_t id, std::size_t size) noexcept;
    void define_header(const PciDescription& description) noexcept;
    void define_bar(unsigned index, const BarDescription& bar) noexcept;
    void define_msix(const MsixDescription& msix) noexcept;
    void define_pci_express() noexcept;

    std::vector<std::byte> bytes_;
    std::vector<std::byte> writable_;
    std::array<BarKind, bar_count> bars_{};
    std::size_t last_pointer_;  ///< the register that points to the next capability
    std::size_t free_;          ///< where it will lie
    std::size_t msi_ = 0;       ///< 0: the device has none
    std::size_t msix_ = 0;
};

}  // namespace outboard::sim
