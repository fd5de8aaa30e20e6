// Who maps memory for a device that is reached through VFIO.
#pragma once

#include "outboard/backend/backend.hpp"

#include <cstdint>
#include <vector>

namespace outboard::vfio {

/// The I/O address space of one device. Functions do what those of Backend do.
class AddressSpace {
  public:
    AddressSpace() = default;
    AddressSpace(const AddressSpace&) = delete;
    AddressSpace& operator=(const AddressSpace&) = delete;
    AddressSpace(AddressSpace&&) = delete;
    AddressSpace& operator=(AddressSpace&&) = delete;
    virtual ~AddressSpace() = default;

    virtual std::vector<IovaRange> iova_ranges() const = 0;
    virtual std::uint64_t page_size() const noexcept = 0;
    virtual void map(const DmaMapping& mapping) = 0;
    virtual void unmap(std::uint64_t iova, std::uint64_t size) = 0;
    /// What a process has to keep open so that the mappings stay; owned by this object.
    virtual std::vector<int> descriptors() const { return {}; }
};

}  // namespace outboard::vfio
