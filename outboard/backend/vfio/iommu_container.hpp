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

    std::vector<IovaRange> iova_ranges() const override { return ranges_; }
    std::uint64_t page_size() const noexcept override { return page_size_; }
    void map(const DmaMapping& mapping) override;
    void unmap(std::uint64_t iova, std::uint64_t size) override;

  private:
    void set_iommu();

    std::string name_;
    Fd fd_;
    Fd group_;
    std::vector<IovaRange> ranges_;
    std::uint64_t page_size_ = 4096;
};

}  // namespace outboard::vfio
