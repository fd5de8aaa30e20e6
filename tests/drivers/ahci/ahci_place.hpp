// Where the suites of the AHCI driver run: on QEMU's ICH9 in the lab, and on the simulated HBA in many
// configurations.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/drivers/ahci/ahci.hpp"

#include <memory>
#include <string>

#include "tests/support/disk_place.hpp"

namespace outboard::test {

/// For ahci_suite.cpp the HBA has three disks, with the serial numbers ahci0 … ahci2 at its first ports, of
/// at least 1 GiB; ahci1 has 200 GiB, and its beginning is zero. For ahci_fault_suite.cpp it has two: "bad",
/// whose sectors 2048 to 2055 cannot be read, and "slow", which needs 3 s for every read.
class AhciPlace : public DiskPlace {
  public:
    const DriverDescription& driver() const final { return ahci::description; }
    /// What the driver is to make of the sectors that cannot be read, and how it says that.
    virtual BlockStatus bad_status() const = 0;
    virtual std::string bad_words() const = 0;
};

std::unique_ptr<AhciPlace> make_ahci_place();

}  // namespace outboard::test
