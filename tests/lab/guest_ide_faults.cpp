// The suite of the IDE driver on disks that fail, in the lab: of "bad" QEMU's blkdebug lets the sectors fail,
// "slow" is a null device with latency.
#include "guest_ide.hpp"

std::unique_ptr<outboard::test::IdePlace> outboard::test::make_ide_place() {
    return std::make_unique<guest::LabIde>();
}
