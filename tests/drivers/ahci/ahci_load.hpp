// An HBA under the AHCI driver for a while.
#pragma once

#include <memory>
#include <utility>

#include "tests/drivers/ahci/ahci_place.hpp"
#include "tests/support/disk_load.hpp"

namespace outboard::test {

class OurAhci final : public Ours {
  public:
    OurAhci() : OurAhci(std::shared_ptr(make_ahci_place())) {}
    explicit OurAhci(DriverOptions options)
        : OurAhci(std::shared_ptr(make_ahci_place()), std::move(options)) {}
    explicit OurAhci(const std::shared_ptr<AhciPlace>& where) : OurAhci(where, where->options()) {}
    OurAhci(const std::shared_ptr<AhciPlace>& where, DriverOptions options)
        : Ours(where, std::move(options)), place(where) {}

    std::shared_ptr<AhciPlace> place;
};

}  // namespace outboard::test
