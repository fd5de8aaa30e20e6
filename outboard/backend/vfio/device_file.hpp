// The descriptor of one VFIO device: regions, interrupts, reset. The same whether the device was reached
// through a group or through a cdev.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/base/fd.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <linux/vfio.h>

namespace outboard::vfio {

/// What the kernel tells whoever has the device open, beside the device's own interrupts.
enum class Notice : std::uint8_t {
    error,    ///< the device, or the way to it, has reported an error (PCI Express AER)
    release,  ///< it shall be closed: somebody unbinds it, or it is about to leave the machine
};

/// Owns the descriptor and the regions mapped from it. Functions do what those of Backend do.
class DeviceFile {
  public:
    /// Asks the device what it has. `name` is what messages call it. Throws Error.
    DeviceFile(Fd fd, std::string name);
    /// Interrupts off, bus mastering off, regions unmapped.
    ~DeviceFile();
    DeviceFile(const DeviceFile&) = delete;
    DeviceFile& operator=(const DeviceFile&) = delete;
    DeviceFile(DeviceFile&&) = delete;
    DeviceFile& operator=(DeviceFile&&) = delete;

    const std::string& name() const noexcept { return name_; }
    int fd() const noexcept { return fd_.get(); }

    /// Interrupts of every kind off, bus mastering off, whoever turned them on: a process that had the
    /// descriptor is gone. Returns 0 or the errno value of a device that cannot be told.
    int quiet() noexcept;

    RegionInfo region_info(RegionIndex region) const;
    int read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept;
    int write_region(RegionIndex region, std::uint64_t offset, std::span<const std::byte> data) noexcept;
    int write_run(RegionIndex region, std::uint64_t offset, std::span<const std::byte> data,
                  std::size_t width) noexcept;
    std::span<std::byte> map_region(RegionIndex region, const MappableArea& area);

    InterruptInfo interrupt_info(InterruptKind kind) const;
    void set_interrupts(InterruptKind kind, std::span<const int> eventfds);
    int mask_intx() noexcept { return switch_intx(VFIO_IRQ_SET_ACTION_MASK); }
    int unmask_intx() noexcept { return switch_intx(VFIO_IRQ_SET_ACTION_UNMASK); }

    /// Lets the eventfd fire with each such notice from now on: a release once more every ten seconds until
    /// the device is closed. False for a device that has no such notice. Throws Error.
    bool set_notice(Notice notice, int eventfd);
    /// False: what is read of it is what an empty slot gives.
    bool present() noexcept;

    bool resettable() const noexcept { return resettable_; }
    void reset();

  private:
    static constexpr std::size_t region_count = static_cast<std::size_t>(RegionIndex::config) + 1;

    struct RegionPlace {
        RegionInfo info;
        std::uint64_t file_offset = 0;
    };

    RegionPlace ask_region(RegionIndex region) const;
    const RegionPlace& place(RegionIndex region) const noexcept {
        return regions_[std::to_underlying(region)];
    }
    int switch_intx(std::uint32_t action) noexcept;
    int disable_interrupts(InterruptKind kind) noexcept;
    int clear_bus_master() noexcept;

    Fd fd_;
    std::string name_;
    bool resettable_ = false;
    std::array<RegionPlace, region_count> regions_;
    std::array<InterruptInfo, 3> interrupts_;
    std::map<std::pair<RegionIndex, std::uint64_t>, std::span<std::byte>> mappings_;
    std::optional<InterruptKind> enabled_;
};

}  // namespace outboard::vfio
