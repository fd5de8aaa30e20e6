// How a device is reached. A Backend is the narrow interface between a Device and what gives access to it:
// VFIO or vfio-user, and later UIO. Drivers never see it; they use device/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace outboard {

/// The regions of a PCI device, numbered as the device numbers its BARs.
enum class RegionIndex : unsigned { bar0, bar1, bar2, bar3, bar4, bar5, rom, config };

/// A part of a region that can be mapped into the process.
struct MappableArea {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};

struct RegionInfo {
    std::uint64_t size = 0;  ///< bytes; 0 when the device has no such region
    bool readable = false;
    bool writable = false;
    std::vector<MappableArea> mappable;  ///< empty for port ranges and trapped regions
};

enum class InterruptKind { intx, msi, msix };

struct InterruptInfo {
    unsigned count = 0;     ///< vectors of this kind; 0 when the device, or the path to it, has none
    bool maskable = false;  ///< level-triggered: masked by the kernel when it fires, unmasked by the driver
};

/// Inclusive range of I/O virtual addresses.
struct IovaRange {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
};

/// What a device may do with mapped memory.
enum class DmaAccess { read, write, read_write };

/// Memory to be made reachable for the device. `fd` and `offset` name the file behind it where there is one
/// (-1 otherwise): servers in other processes map the file instead of copying.
struct DmaMapping {
    std::uint64_t iova = 0;
    std::span<std::byte> memory;
    DmaAccess access = DmaAccess::read_write;
    int fd = -1;
    std::uint64_t offset = 0;
};

/// One opened device. Used by one thread at a time, except read_region and write_region, which may be called
/// from the threads that own the registers. Destroying it gives the device back: interrupts off, bus
/// mastering off, DMA mappings gone. All functions throw Error unless they say otherwise.
class Backend {
  public:
    Backend() = default;
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;
    Backend(Backend&&) = delete;
    Backend& operator=(Backend&&) = delete;
    virtual ~Backend() = default;

    /// What messages call the device: the full BDF, or vfio-user:PATH.
    virtual const std::string& name() const noexcept = 0;

    /// Size and abilities of a region; size 0 when the device does not have it.
    virtual RegionInfo region_info(RegionIndex region) const = 0;

    /// Reads `data.size()` bytes at `offset` of a region. Accesses of 1, 2, 4 or 8 naturally aligned bytes
    /// are single accesses on the bus. Returns 0 or an errno value: the caller may be on a data path.
    [[nodiscard]] virtual int read_region(RegionIndex region, std::uint64_t offset,
                                          std::span<std::byte> data) noexcept = 0;

    /// Writes likewise.
    [[nodiscard]] virtual int write_region(RegionIndex region, std::uint64_t offset,
                                           std::span<const std::byte> data) noexcept = 0;

    /// Writes `data` as accesses of `width` bytes (1, 2 or 4) each at ascending offsets, in order, none
    /// joined: a row of registers in one call. Returns 0 or an errno value. A backend that can do it cheaper
    /// than call by call says how.
    [[nodiscard]] virtual int write_run(RegionIndex region, std::uint64_t offset,
                                        std::span<const std::byte> data, std::size_t width) noexcept {
        for (; !data.empty(); data = data.subspan(width), offset += width) {
            if (const int error = write_region(region, offset, data.first(width)); error != 0)
                return error;
        }
        return 0;
    }

    /// Maps a mappable area; valid until the backend goes.
    virtual std::span<std::byte> map_region(RegionIndex region, const MappableArea& area) = 0;

    virtual InterruptInfo interrupt_info(InterruptKind kind) const = 0;

    /// Connects vectors 0 … eventfds.size()-1 of one kind to eventfds and enables them; an empty span
    /// disables the kind. Only one kind is enabled at a time.
    virtual void set_interrupts(InterruptKind kind, std::span<const int> eventfds) = 0;

    /// Masks or unmasks INTx. noexcept and cheap: called once per interrupt. Returns 0 or an errno value.
    [[nodiscard]] virtual int mask_intx() noexcept = 0;
    [[nodiscard]] virtual int unmask_intx() noexcept = 0;

    /// True when `reset` can work for this device.
    virtual bool resettable() const noexcept = 0;
    virtual void reset() = 0;

    /// The I/O virtual addresses that can be mapped, ascending, reserved windows left out.
    virtual std::vector<IovaRange> iova_ranges() const = 0;

    /// Smallest unit of a mapping in bytes, a power of two.
    virtual std::uint64_t dma_page_size() const noexcept = 0;

    virtual void map_dma(const DmaMapping& mapping) = 0;
    virtual void unmap_dma(std::uint64_t iova, std::uint64_t size) = 0;
};

}  // namespace outboard
