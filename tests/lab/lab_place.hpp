// A device of a lab machine, taken from the kernel for a while: where the suites of the disk drivers run
// there.
#pragma once

#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/iommu_faults.hpp"
#include "outboard/device/device.hpp"

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

namespace outboard::guest {

/// The address that the variable of the environment names, or else `usual`.
inline PciAddress address_from(const char* variable, const char* usual) {
    const char* const name = std::getenv(variable);
    return PciAddress::parse(name != nullptr ? name : usual);
}

/// A DiskPlace or one of its kinds. Gives the device back when it goes; IOMMU faults meanwhile are
/// complaints.
template <class Place>
class LabPlace : public Place {
  public:
    explicit LabPlace(PciAddress address) : address_(std::move(address)) { Binder().bind(address_); }
    LabPlace(const LabPlace&) = delete;
    LabPlace& operator=(const LabPlace&) = delete;
    LabPlace(LabPlace&&) = delete;
    LabPlace& operator=(LabPlace&&) = delete;
    ~LabPlace() override { Binder().restore(address_); }

    std::unique_ptr<Device> open() final { return Device::open(address_.text()); }
    std::string complaints() final {
        return faults_.take(address_).empty() ? "" : "the IOMMU blocked DMA of the device";
    }
    std::chrono::milliseconds load_time() const final { return std::chrono::seconds(1); }

  private:
    PciAddress address_;
    IommuFaultWatch faults_;
};

}  // namespace outboard::guest
