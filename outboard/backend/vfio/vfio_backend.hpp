// A PCI device reached through VFIO: an IOMMU group in a container, type-1 model version 2, as every
// distribution's kernel has it. What belongs to the device alone is in DeviceFile and what belongs to the
// address space in an AddressSpace, so a device cdev with an iommufd is another pair beside this one.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/backend/pci/address.hpp"
#include "outboard/backend/vfio/address_space.hpp"
#include "outboard/backend/vfio/device_file.hpp"
#include "outboard/base/fd.hpp"

#include <memory>
#include <string>
#include <vector>

namespace outboard::vfio {

class VfioBackend final : public Backend {
  public:
    /// Opens a device that is bound to vfio-pci. Throws Error saying what is missing: the device, its
    /// binding, the modules, the IOMMU, rights, or the other members of its group.
    static std::unique_ptr<VfioBackend> open(const PciAddress& address);

    /// A device that is open: its descriptor, and who maps memory for it. Throws Error.
    VfioBackend(std::unique_ptr<AddressSpace> space, Fd device, std::string name)
        : space_(std::move(space)), device_(std::move(device), std::move(name)) {}

    /// The device's descriptor, for a process that shall drive it with memory that is mapped here.
    int device_fd() const noexcept { return device_.fd(); }
    /// What a process has to keep open so that the device stays as it is: what its address space needs, and
    /// device_fd() as the last one.
    std::vector<int> descriptors() const {
        std::vector<int> all = space_->descriptors();
        all.push_back(device_.fd());
        return all;
    }
    /// Stops a device whose driver is gone: see DeviceFile::quiet.
    int quiet() noexcept { return device_.quiet(); }
    /// See DeviceFile::set_notice and DeviceFile::present.
    bool set_notice(Notice notice, int eventfd) { return device_.set_notice(notice, eventfd); }
    bool present() noexcept { return device_.present(); }

    const std::string& name() const noexcept override { return device_.name(); }

    RegionInfo region_info(RegionIndex region) const override { return device_.region_info(region); }
    int read_region(RegionIndex region, std::uint64_t offset, std::span<std::byte> data) noexcept override {
        return device_.read_region(region, offset, data);
    }
    int write_region(RegionIndex region, std::uint64_t offset,
                     std::span<const std::byte> data) noexcept override {
        return device_.write_region(region, offset, data);
    }
    int write_run(RegionIndex region, std::uint64_t offset, std::span<const std::byte> data,
                  std::size_t width) noexcept override {
        return device_.write_run(region, offset, data, width);
    }
    std::span<std::byte> map_region(RegionIndex region, const MappableArea& area) override {
        return device_.map_region(region, area);
    }

    InterruptInfo interrupt_info(InterruptKind kind) const override { return device_.interrupt_info(kind); }
    void set_interrupts(InterruptKind kind, std::span<const int> eventfds) override {
        device_.set_interrupts(kind, eventfds);
    }
    int mask_intx() noexcept override { return device_.mask_intx(); }
    int unmask_intx() noexcept override { return device_.unmask_intx(); }

    bool resettable() const noexcept override { return device_.resettable(); }
    void reset() override { device_.reset(); }

    std::vector<IovaRange> iova_ranges() const override { return space_->iova_ranges(); }
    std::uint64_t dma_page_size() const noexcept override { return space_->page_size(); }
    void map_dma(const DmaMapping& mapping) override { space_->map(mapping); }
    void unmap_dma(std::uint64_t iova, std::uint64_t size) override { space_->unmap(iova, size); }

  private:
    // Closed in the reverse order: the device stops before its mappings go.
    std::unique_ptr<AddressSpace> space_;
    DeviceFile device_;
};

}  // namespace outboard::vfio
