// The address space of a device as the process sees it that drives the device and may map nothing: another
// process holds the container and has mapped the arena.
#pragma once

#include "outboard/backend/vfio/address_space.hpp"

#include <string>
#include <utility>

namespace outboard::vfio {

/// Takes note of no mapping: one that lies within what was granted is there already, any other is refused
/// with Error (not_permitted).
class GrantedSpace final : public AddressSpace {
  public:
    /// `device` is what messages speak of.
    explicit GrantedSpace(std::string device) noexcept : device_(std::move(device)) {}

    /// The other process has mapped memory there.
    void grant(IovaRange range) noexcept { granted_ = range; }

    std::vector<IovaRange> iova_ranges() const override { return {granted_}; }
    std::uint64_t page_size() const noexcept override { return 4096; }
    void map(const DmaMapping& mapping) override;
    void unmap(std::uint64_t /*iova*/, std::uint64_t /*size*/) override {}

  private:
    IovaRange granted_{.first = 1, .last = 0};  ///< nothing
    std::string device_;
};

}  // namespace outboard::vfio
