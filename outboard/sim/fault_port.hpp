// A region behind those of PCI, through which a client orders faults of the device that it uses, and reads
// how many struck.
#pragma once

#include "outboard/sim/fault_injector.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace outboard::sim {

/// The region's content, little-endian.
struct FaultPortLayout {
    std::uint64_t signature = 0;  ///< fault_port_signature: other devices have other regions there
    std::uint32_t possible = 0;   ///< bit n: faults of kind n can be ordered
    std::uint32_t order = 0;      ///< write a kind: its next opportunity strikes
    std::uint32_t take_back = 0;  ///< write a kind; then reads as 1 when its order had not struck yet
    std::uint32_t reserved = 0;
    std::array<std::uint64_t, fault_kinds> struck{};  ///< how often, by kind
};
static_assert(offsetof(FaultPortLayout, order) == 12 && offsetof(FaultPortLayout, take_back) == 16 &&
              offsetof(FaultPortLayout, struck) == 24 && sizeof(FaultPortLayout) == 176);
inline constexpr std::uint64_t fault_port_signature = 0x53544c5541464f42;  // "BOFAULTS"

/// Its number, after those that VFIO gives to the regions of PCI.
inline constexpr unsigned fault_port_region = 9;

/// The device's end. Used by the thread that serves it.
class FaultPort {
  public:
    /// `faults` outlives it.
    explicit FaultPort(FaultInjector& faults) noexcept : faults_(faults) {}

    /// The kinds that can be ordered; without any there is no such region. Before the device is served.
    void offer(std::span<const FaultKind> kinds) noexcept;
    /// Bytes; 0 when there is none.
    std::uint64_t size() const noexcept { return possible_ == 0 ? 0 : sizeof(FaultPortLayout); }

    /// The range lies inside the region.
    void read(std::uint64_t offset, std::span<std::byte> data) const noexcept;
    /// False for anything but one whole register, and for a kind that cannot be ordered.
    [[nodiscard]] bool write(std::uint64_t offset, std::span<const std::byte> data) noexcept;

  private:
    FaultInjector& faults_;
    std::uint32_t possible_ = 0;
    bool taken_back_ = false;
};

}  // namespace outboard::sim
