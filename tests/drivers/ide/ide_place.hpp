// Where the suites of the IDE driver run: on QEMU's PIIX3 in the lab, and on the simulated controllers.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/drivers/ide/ide.hpp"

#include <cstddef>
#include <memory>
#include <string>

#include "tests/support/disk_place.hpp"

namespace outboard::test {

/// For ide_suite.cpp the controller has four disks, with the serial numbers ide0 … ide3 in the four places,
/// of at least 1 GiB; ide1 has 200 GiB, and its beginning is zero. For ide_fault_suite.cpp it has two: "bad",
/// the primary master, whose sectors 2048 to 2055 cannot be read, and "slow", the secondary master, which
/// needs 3 s for every read.
class IdePlace : public DiskPlace {
  public:
    const DriverDescription& driver() const final { return ide::description; }
    /// Most bytes of a request by PIO, where each word is an access of its own.
    virtual std::size_t largest_pio() const = 0;
    /// What the driver is to make of the sectors that cannot be read, and how it says that.
    virtual BlockStatus bad_status() const = 0;
    virtual std::string bad_words() const = 0;
};

std::unique_ptr<IdePlace> make_ide_place();

}  // namespace outboard::test
