// The suite of the AHCI driver on disks that fail, in the lab: of "bad" QEMU's blkdebug lets the sectors
// fail, "slow" is a null device with latency.
#include "guest_ahci.hpp"

std::unique_ptr<outboard::test::AhciPlace> outboard::test::make_ahci_place() {
    return std::make_unique<guest::LabAhci>();
}
