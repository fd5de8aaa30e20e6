// A device with fewer kinds of interrupts than it has.
#pragma once

#include "outboard/backend/backend.hpp"

#include <cerrno>
#include <memory>
#include <utility>

namespace outboard::test {

/// Passes everything on but what is said about interrupts: of one kind only there are any.
class LimitedBackend final : public Backend {
  public:
    LimitedBackend(std::unique_ptr<Backend> inner, InterruptKind kind)
        : inner_(std::move(inner)), kind_(kind) {}

    /// From now on INTx cannot be unmasked any more.
    void break_line() noexcept { line_broken_ = true; }

    const std::string& name() const noexcept override { return inner_->name(); }
    RegionInfo region_info(RegionIndex region) const override { return inner_->region_info(region); }
    int read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept override {
        return inner_->read_region(region, offset, data);
    }
    int write_region(RegionIndex region, std::uint64_t offset,
                     std::span<const std::byte> data) noexcept override {
        return inner_->write_region(region, offset, data);
    }
    std::span<std::byte> map_region(RegionIndex region, const MappableArea& area) override {
        return inner_->map_region(region, area);
    }
    InterruptInfo interrupt_info(InterruptKind kind) const override {
        return kind == kind_ ? inner_->interrupt_info(kind) : InterruptInfo{};
    }
    void set_interrupts(InterruptKind kind, std::span<const int> eventfds) override {
        inner_->set_interrupts(kind, eventfds);
    }
    int mask_intx() noexcept override { return inner_->mask_intx(); }
    int unmask_intx() noexcept override { return line_broken_ ? EIO : inner_->unmask_intx(); }
    bool resettable() const noexcept override { return inner_->resettable(); }
    void reset() override { inner_->reset(); }
    std::vector<IovaRange> iova_ranges() const override { return inner_->iova_ranges(); }
    std::uint64_t dma_page_size() const noexcept override { return inner_->dma_page_size(); }
    void map_dma(const DmaMapping& mapping) override { inner_->map_dma(mapping); }
    void unmap_dma(std::uint64_t iova, std::uint64_t size) override { inner_->unmap_dma(iova, size); }

  private:
    std::unique_ptr<Backend> inner_;
    InterruptKind kind_;
    bool line_broken_ = false;
};

}  // namespace outboard::test
