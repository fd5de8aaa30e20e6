// A device that lies: an honest one, and between it and the driver the fuzzer, which changes what registers
// read as, drops writes, overwrites the memory that the device was given, and raises interrupts for nothing.
#pragma once

#include "outboard/backend/backend.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/input.hpp"

namespace outboard::fuzz {

/// It checks the driver, too: no access lies outside the regions, mappings are whole pages that do not
/// overlap, and all memory is unmapped before the device goes.
///
/// The input is a list of lies, each with the number of accesses that pass before it; once it is used up the
/// device is honest.
class LyingDevice final : public Backend {
  public:
    /// The input outlives it.
    LyingDevice(std::unique_ptr<Backend> honest, Input& input);
    ~LyingDevice() override;

    /// What happens while the driver sleeps; true when that was an interrupt.
    bool asleep();

    /// Memory was changed that no honest device would have changed.
    bool scribbled() const noexcept { return scribbled_; }
    /// An access has failed, or the device is gone for good.
    bool broken() const noexcept { return broken_; }
    /// Remembers from here on what this register is read as: last_read().
    void watch(RegionIndex region, std::uint64_t offset) noexcept { watched_ = {region, offset}; }
    std::uint64_t last_read() const noexcept { return last_read_; }

    const std::string& name() const noexcept override { return honest_->name(); }
    RegionInfo region_info(RegionIndex region) const override { return honest_->region_info(region); }
    int read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept override;
    int write_region(RegionIndex region, std::uint64_t offset,
                     std::span<const std::byte> data) noexcept override;
    std::span<std::byte> map_region(RegionIndex region, const MappableArea& area) override;
    InterruptInfo interrupt_info(InterruptKind kind) const override { return honest_->interrupt_info(kind); }
    void set_interrupts(InterruptKind kind, std::span<const int> eventfds) override;
    int mask_intx() noexcept override { return honest_->mask_intx(); }
    int unmask_intx() noexcept override;
    bool resettable() const noexcept override { return honest_->resettable(); }
    void reset() override { honest_->reset(); }
    std::vector<IovaRange> iova_ranges() const override { return honest_->iova_ranges(); }
    std::uint64_t dma_page_size() const noexcept override { return honest_->dma_page_size(); }
    void map_dma(const DmaMapping& mapping) override;
    void unmap_dma(std::uint64_t iova, std::uint64_t size) override;

  private:
    enum class Kind : std::uint8_t {
        replace,
        flip,
        stick,
        stick_all_ones,
        fail,
        vanish,
        interrupt,
        scribble
    };
    static constexpr unsigned kinds = 8;

    /// A lie that goes on: one register reads as a value.
    struct Stuck {
        RegionIndex region{};
        std::uint64_t offset = 0;
        std::uint64_t value = 0;
        unsigned left = 0;  ///< reads
    };

    std::optional<Kind> next_lie() noexcept;
    void check_access(RegionIndex region, std::uint64_t offset, std::size_t size) const noexcept;
    void interrupt() noexcept;
    void scribble() noexcept;

    std::unique_ptr<Backend> honest_;
    Input& input_;
    unsigned until_next_ = 0;  ///< accesses
    Stuck stuck_;
    bool scribbled_ = false;
    bool broken_ = false;
    bool vanished_ = false;
    std::pair<RegionIndex, std::uint64_t> watched_{RegionIndex::rom, 0};
    std::uint64_t last_read_ = 0;
    std::vector<int> eventfds_;
    std::map<std::uint64_t, std::span<std::byte>> mappings_;
};

}  // namespace outboard::fuzz
