#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/names.hpp"
#include "outboard/backend/pci/requirements.hpp"

#include "tests/support/expect_error.hpp"
#include "tests/support/fake_machine.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard {
namespace {

using test::FakeMachine;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const PciAddress ide_address = PciAddress::parse("0000:00:04.0");

TEST(Inventory, ReadsWhatSysfsShowsOfADevice) {
    FakeMachine machine;
    machine.add({.address = "0000:00:04.0", .driver = "ata_piix", .group = 3});
    const PciDevice device = machine.inventory().device(ide_address);
    EXPECT_EQ(device.identity.vendor, 0x8086);
    EXPECT_EQ(device.identity.device, 0x7010);
    EXPECT_EQ(device.identity.subsystem_vendor, 0x1af4);
    EXPECT_EQ(device.identity.subsystem, 0x1100);
    EXPECT_EQ(device.identity.revision, 2);
    EXPECT_EQ(device.identity.base_class, 0x01);
    EXPECT_EQ(device.identity.sub_class, 0x01);
    EXPECT_EQ(device.identity.programming_interface, 0x80);
    EXPECT_EQ(device.driver, "ata_piix");
    EXPECT_EQ(device.iommu_group, 3U);
    EXPECT_THAT(device.reset_methods, ElementsAre("flr", "bus"));
    EXPECT_EQ(device.bars[0].start, 0x1f0U);
    EXPECT_EQ(device.bars[0].size, 8U);
    EXPECT_TRUE(device.bars[0].port_io);
    EXPECT_EQ(device.bars[1].size, 1U);
    EXPECT_EQ(device.bars[2].size, 0U);
    EXPECT_EQ(device.bars[3].size, 4096U);
    EXPECT_FALSE(device.bars[3].port_io);
}

TEST(Inventory, ADeviceMayHaveNoDriverAndNoGroup) {
    FakeMachine machine;
    machine.add({.address = "0000:00:04.0"});
    const PciDevice device = machine.inventory().device(ide_address);
    EXPECT_EQ(device.driver, "");
    EXPECT_EQ(device.iommu_group, std::nullopt);
}

TEST(Inventory, ListsDevicesByAddress) {
    FakeMachine machine;
    machine.add({.address = "0000:01:00.0"});
    machine.add({.address = "0000:00:1f.2"});
    machine.add({.address = "0000:00:04.0"});
    std::vector<std::string> addresses;
    for (const PciDevice& device : machine.inventory().devices())
        addresses.push_back(device.address.text());
    EXPECT_THAT(addresses, ElementsAre("0000:00:04.0", "0000:00:1f.2", "0000:01:00.0"));
}

TEST(Inventory, AnUnknownAddressSaysHowToFindDevices) {
    FakeMachine machine;
    EXPECT_ERROR(machine.inventory().device(ide_address), ErrorKind::not_found,
                 "cannot find the PCI device 0000:00:04.0: this machine has no device at that address; "
                 "`outboard list --all` shows all of its devices");
}

TEST(Inventory, AMachineWithoutPciSaysSo) {
    FakeMachine machine;
    std::filesystem::remove_all(machine.paths().sys / "bus/pci/devices");
    const auto error = test::error_of([&] { (void)machine.inventory().devices(); });
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("this machine shows no PCI bus"));
}

TEST(Inventory, ObstaclesAreTheBoundMembersOfAGroupButNotBridges) {
    FakeMachine machine;
    machine.add({.address = "0000:00:1f.0", .class_code = "0x060100", .driver = "lpc_ich", .group = 9});
    machine.add({.address = "0000:00:1f.1", .class_code = "0x060400", .driver = "pcieport", .group = 9});
    machine.add({.address = "0000:00:1f.2", .driver = "ahci", .group = 9});
    machine.add({.address = "0000:00:1f.3", .driver = "", .group = 9});
    machine.add({.address = "0000:00:1f.4", .driver = "vfio-pci", .group = 9});
    machine.add({.address = "0000:00:1f.5", .driver = "pci-stub", .group = 9});
    machine.add({.address = "0000:00:02.0", .driver = "nvme", .group = 8});
    const Inventory inventory = machine.inventory();
    const auto obstacles = group_obstacles(inventory, inventory.device(PciAddress::parse("0000:00:1f.2")));
    EXPECT_EQ(describe(obstacles), "0000:00:1f.0 (lpc_ich)");
    const auto others = group_obstacles(inventory, inventory.device(PciAddress::parse("0000:00:1f.3")));
    EXPECT_EQ(describe(others), "0000:00:1f.0 (lpc_ich), 0000:00:1f.2 (ahci)");
}

TEST(Requirements, AMachineWithoutIommuSaysHowToTurnItOn) {
    FakeMachine machine;
    machine.add({.address = "0000:00:04.0"});
    const Inventory inventory = machine.inventory();
    EXPECT_ERROR(
        require_iommu_group("open", inventory, inventory.device(ide_address)), ErrorKind::unsupported,
        "cannot open 0000:00:04.0: no IOMMU is at work on this machine, so nothing would confine the "
        "device's "
        "DMA; turn the IOMMU on in the firmware (VT-d or AMD-Vi) and, on Intel processors, boot with "
        "intel_iommu=on; in a virtual machine give it a virtual IOMMU");
}

TEST(Requirements, ADeviceThatTheIommuDoesNotServeIsToldApart) {
    FakeMachine machine;
    machine.add({.address = "0000:00:04.0"});
    machine.add({.address = "0000:00:05.0", .group = 0});
    const Inventory inventory = machine.inventory();
    EXPECT_ERROR(
        require_iommu_group("open", inventory, inventory.device(ide_address)), ErrorKind::unsupported,
        "cannot open 0000:00:04.0: no IOMMU translates for this device, so nothing would confine its DMA; "
        "use a slot behind the machine's IOMMU");
}

constexpr const char* ids =
    "# a comment\n"
    "8086  Intel Corporation\n"
    "\t7010  82371SB PIIX3 IDE [Natoma/Triton II]\n"
    "\t\t1af4 1100  Qemu virtual machine\n"
    "\tzzzz  not a number\n"
    "1234  Technical Corp.\n"
    "\n"
    "C 01  Mass storage controller\n"
    "\t00  SCSI storage controller\n"
    "\t01  IDE interface\n"
    "\t\t80  ISA Compatibility mode-only controller, supports bus mastering\n"
    "C 02  Network controller\n";

TEST(PciNames, NamesVendorsDevicesAndClasses) {
    const PciNames names{std::string_view(ids)};
    EXPECT_EQ(names.device({.vendor = 0x8086, .device = 0x7010}),
              "Intel Corporation 82371SB PIIX3 IDE [Natoma/Triton II]");
    EXPECT_EQ(names.device_class({.base_class = 1, .sub_class = 1}), "IDE interface");
}

TEST(PciNames, GivesNumbersWhereNamesAreMissing) {
    const PciNames names{std::string_view(ids)};
    EXPECT_EQ(names.device({.vendor = 0x1234, .device = 0x11e8}), "Technical Corp. 1234:11e8");
    EXPECT_EQ(names.device({.vendor = 0x1af4, .device = 0x1100}), "1af4:1100");
    EXPECT_EQ(names.device_class({.base_class = 2, .sub_class = 0x80}), "Network controller");
    EXPECT_EQ(names.device_class({.base_class = 0xff, .sub_class = 0}), "class ff00");
}

TEST(PciNames, AMissingFileIsNoError) {
    const PciNames names = PciNames::load("/nonexistent/pci.ids");
    EXPECT_EQ(names.device({.vendor = 0x8086, .device = 0x7010}), "8086:7010");
}

}  // namespace
}  // namespace outboard
