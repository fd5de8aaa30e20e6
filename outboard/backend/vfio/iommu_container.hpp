// DMA mappings through a VFIO container with the type-1 IOMMU model, version 2.
#pragma once

#include "outboard/backend/vfio/address_space.hpp"
#include "outboard/base/fd.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace outboard::vfio {

/// One container: one I/O address space.
class IommuContainer final : public AddressSpace {
  public:
    /// Opens /dev/vfio/vfio and checks its interface. `name` is the device that messages speak of. Throws
    /// Error.
    explicit IommuContainer(std::string name);

    /// Puts the device's group in, chooses the IOMMU model and asks what the IOMMU can do. Once. Throws
    /// Error.
    void take_group(Fd group);
    /// The same with a container that another process has set up, and in which it has mapped memory at
    /// `mapped`: mapping exactly that again does nothing.
    IommuContainer(std::string name, Fd container, Fd group, IovaRange mapped);

    std::vector<IovaRange> iova_ranges() const override { return ranges_; }
    std::uint64_t page_size() const noexcept override { return page_size_; }
    void map(const DmaMapping& mapping) override;
    void unmap(std::uint64_t iova, std::uint64_t size) override;
    std::vector<int> descriptors() const override { return {fd_.get(), group_.get()}; }

  private:
    void set_iommu();
    void ask_iommu();

    std::string name_;
    Fd fd_;
    Fd group_;
    std::vector<IovaRange> ranges_;
    std::uint64_t page_size_ = 4096;
    IovaRange inherited_{.first = 1, .last = 0};  ///< nothing
};

}  // namespace outboard::vfio
