// A virtio disk of QEMU's, taken from the kernel for a while.
#pragma once

#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/iommu_faults.hpp"
#include "outboard/drivers/virtio_blk/virtio_blk.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "tests/support/disk_place.hpp"

namespace outboard::guest {

/// Gives it back when it goes.
class LabVirtioBlk final : public test::DiskPlace {
  public:
    const DriverDescription& driver() const override { return virtio_blk::description; }
    explicit LabVirtioBlk(PciAddress address) : address_(std::move(address)) { Binder().bind(address_); }
    LabVirtioBlk(const LabVirtioBlk&) = delete;
    LabVirtioBlk& operator=(const LabVirtioBlk&) = delete;
    LabVirtioBlk(LabVirtioBlk&&) = delete;
    LabVirtioBlk& operator=(LabVirtioBlk&&) = delete;
    ~LabVirtioBlk() override { Binder().restore(address_); }

    std::unique_ptr<Device> open() override { return Device::open(address_.text()); }
    std::string complaints() override {
        return faults_.take(address_).empty() ? "" : "the IOMMU blocked DMA of the device";
    }
    std::chrono::milliseconds load_time() const override { return std::chrono::seconds(2); }

  private:
    PciAddress address_;
    IommuFaultWatch faults_;
};

}  // namespace outboard::guest
