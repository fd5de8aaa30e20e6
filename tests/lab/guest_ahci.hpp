// The HBA of the AHCI tests inside a lab machine.
#pragma once

#include <string>

#include "lab_place.hpp"
#include "tests/drivers/ahci/ahci_place.hpp"

namespace outboard::guest {

/// The HBA: the lab's ICH9, or what GUEST_AHCI names.
inline const PciAddress controller = address_from("GUEST_AHCI", "0000:00:05.0");

class LabAhci final : public LabPlace<test::AhciPlace> {
  public:
    LabAhci() : LabPlace(controller) {}
    /// QEMU answers every error of its disk image with ABRT, which blames the device, not the medium.
    BlockStatus bad_status() const override { return BlockStatus::device_error; }
    std::string bad_words() const override { return "the device aborted the command (ABRT)"; }
};

}  // namespace outboard::guest
