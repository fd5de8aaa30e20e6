// DMA mappings through a VFIO container with the type-1 IOMMU model, version 2.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/base/fd.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace outboard::vfio {

/// One container: one I/O address space. Functions do what those of Backend do.
class IommuContainer {
  public:
    /// Opens /dev/vfio/vfio and checks its interface. `name` is the device that messages speak of. Throws
    /// Error.
    explicit IommuContainer(std::string name);

    int fd() const noexcept { return fd_.get(); }

    /// Chooses the IOMMU model and asks what the IOMMU can do; a group must have been put into the container.
    void set_iommu();

    const std::vector<IovaRange>& iova_ranges() const noexcept { return ranges_; }
    std::uint64_t page_size() const noexcept { return page_size_; }
    void map(const DmaMapping& mapping) const;
    void unmap(std::uint64_t iova, std::uint64_t size) const;

  private:
    std::string name_;
    Fd fd_;
    std::vector<IovaRange> ranges_;
    std::uint64_t page_size_ = 4096;
};

}  // namespace outboard::vfio
