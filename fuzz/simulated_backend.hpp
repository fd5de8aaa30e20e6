// A simulated device in the same process, without a socket between it and the driver: the honest device
// behind one that lies.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/sim/pci_model.hpp"

#include <memory>
#include <string>

namespace outboard::fuzz {

/// The device looks at its memory when it is turned, and after each access to a register.
class SimulatedBackend final : public Backend {
  public:
    explicit SimulatedBackend(std::unique_ptr<sim::PciModel> model);

    /// Lets the device work; true when it had work.
    bool turn();

    const std::string& name() const noexcept override { return name_; }
    RegionInfo region_info(RegionIndex region) const override;
    int read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept override;
    int write_region(RegionIndex region, std::uint64_t offset,
                     std::span<const std::byte> data) noexcept override;
    std::span<std::byte> map_region(RegionIndex region, const MappableArea& area) override;
    InterruptInfo interrupt_info(InterruptKind kind) const override;
    void set_interrupts(InterruptKind kind, std::span<const int> eventfds) override;
    int mask_intx() noexcept override;
    int unmask_intx() noexcept override;
    bool resettable() const noexcept override { return true; }
    void reset() override { model_->reset_device(); }
    std::vector<IovaRange> iova_ranges() const override { return {{.first = 0x10000, .last = 0xffffffffff}}; }
    std::uint64_t dma_page_size() const noexcept override { return 4096; }
    void map_dma(const DmaMapping& mapping) override;
    void unmap_dma(std::uint64_t iova, std::uint64_t size) override;

  private:
    std::string name_ = "simulated";
    std::unique_ptr<sim::PciModel> model_;
};

}  // namespace outboard::fuzz
