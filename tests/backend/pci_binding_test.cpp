#include "outboard/backend/pci/binding.hpp"

#include "tests/support/expect_error.hpp"
#include "tests/support/fake_machine.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard {
namespace {

using test::FakeMachine;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* name = "0000:00:04.0";
const PciAddress address = PciAddress::parse(name);

class Binding : public ::testing::Test {
  protected:
    Binding() {
        machine.add({.address = name, .driver = "ata_piix", .group = 3});
        machine.add_driver("vfio-pci");
    }
    Binder binder() { return Binder(machine.inventory(), machine.kernel()); }

    FakeMachine machine;
};

TEST_F(Binding, TakesTheDeviceFromItsDriver) {
    const BindingChange change = binder().bind(address);
    EXPECT_EQ(change.before, "ata_piix");
    EXPECT_EQ(change.after, "vfio-pci");
    EXPECT_EQ(machine.driver_of(name), "vfio-pci");
    EXPECT_THAT(machine.written, ElementsAre("devices/pci0000:00/0000:00:04.0/driver_override ← vfio-pci",
                                             "bus/pci/drivers/ata_piix/unbind ← 0000:00:04.0",
                                             "bus/pci/drivers/vfio-pci/bind ← 0000:00:04.0"));
}

TEST_F(Binding, AnotherProcessCanGiveItBack) {
    binder().bind(address);
    const BindingChange change = binder().restore(address);
    EXPECT_EQ(change.before, "vfio-pci");
    EXPECT_EQ(change.after, "ata_piix");
    EXPECT_EQ(machine.driver_override_of(name), "(null)");
}

TEST_F(Binding, GivesBackToTheDriverItHadAndNotToAnotherThatMatches) {
    machine.add_driver("ata_generic");
    machine.set_matches(name, {"ata_generic", "ata_piix"});
    binder().bind(address);
    EXPECT_EQ(binder().restore(address).after, "ata_piix");
}

TEST_F(Binding, ADeviceThatHadNoDriverHasNoneAgain) {
    std::filesystem::remove(machine.device_path(name) / "driver");
    EXPECT_EQ(binder().bind(address).before, "");
    EXPECT_EQ(machine.driver_of(name), "vfio-pci");
    EXPECT_EQ(binder().restore(address).after, "");
}

TEST_F(Binding, AnOverrideOfTheAdministratorIsPutBack) {
    machine.put(machine.device_path(name) / "driver_override", "ata_piix\n");
    binder().bind(address);
    EXPECT_EQ(binder().restore(address).after, "ata_piix");
    EXPECT_EQ(machine.driver_override_of(name), "ata_piix");
}

TEST_F(Binding, LetsGoOfADeviceThatSomebodyElseTakes) {
    machine.put(machine.device_path(name) / "driver_override", "ata_piix\n");
    binder().bind(address);
    binder().let_go(address);
    EXPECT_EQ(machine.driver_of(name), "vfio-pci");
    EXPECT_EQ(machine.driver_override_of(name), "ata_piix");
    EXPECT_FALSE(std::filesystem::exists(machine.paths().run / "bound" / name));
}

TEST_F(Binding, LetsGoOfADeviceThatIsGone) {
    binder().bind(address);
    std::filesystem::remove(machine.paths().sys / "bus/pci/devices" / name);
    EXPECT_NO_THROW(binder().let_go(address));
    EXPECT_FALSE(std::filesystem::exists(machine.paths().run / "bound" / name));
}

TEST_F(Binding, LettingGoOfADeviceThatWasNotTakenChangesNothing) {
    binder().let_go(address);
    EXPECT_THAT(machine.written, IsEmpty());
}

TEST_F(Binding, WithoutMemoryTheKernelChooses) {
    binder().bind(address);
    std::filesystem::remove_all(machine.paths().run);
    EXPECT_EQ(binder().restore(address).after, "ata_piix");
}

TEST_F(Binding, BindingTwiceKeepsTheFirstMemory) {
    binder().bind(address);
    const BindingChange second = binder().bind(address);
    EXPECT_EQ(second.before, "vfio-pci");
    EXPECT_EQ(second.after, "vfio-pci");
    EXPECT_EQ(binder().restore(address).after, "ata_piix");
}

TEST_F(Binding, RestoringADeviceThatWasNotTakenChangesNothing) {
    EXPECT_EQ(binder().restore(address).after, "ata_piix");
    EXPECT_THAT(machine.written, IsEmpty());
}

TEST_F(Binding, FinishesARestoreThatStoppedHalfWay) {
    binder().bind(address);
    std::filesystem::remove(machine.device_path(name) / "driver");
    EXPECT_EQ(binder().restore(address).after, "ata_piix");
}

TEST_F(Binding, WhenVfioRefusesTheOldDriverGetsItBack) {
    machine.refusing = {"vfio-pci"};
    const auto error = test::error_of([&] { binder().bind(address); });
    EXPECT_THAT(error.what(), HasSubstr("Invalid argument (EINVAL)"));
    EXPECT_EQ(machine.driver_of(name), "ata_piix");
    EXPECT_EQ(machine.driver_override_of(name), "(null)");
    EXPECT_FALSE(std::filesystem::exists(machine.paths().run / "bound" / name));
}

TEST_F(Binding, WhenNobodyTakesItBothReasonsAreSaid) {
    machine.refusing = {"vfio-pci", "ata_piix"};
    const auto error = test::error_of([&] { binder().bind(address); });
    EXPECT_THAT(error.what(), HasSubstr("vfio-pci/bind"));
    EXPECT_THAT(error.what(), HasSubstr("ata_piix/bind"));
}

TEST_F(Binding, RefusesAnUnknownDevice) {
    EXPECT_ERROR(binder().bind(PciAddress::parse("0000:00:09.0")), ErrorKind::not_found,
                 "cannot find the PCI device 0000:00:09.0: this machine has no device at that address; "
                 "`outboard list --all` shows all of its devices");
}

TEST_F(Binding, RefusesADeviceInUseAndSaysByWhat) {
    const auto disk = machine.add_block(machine.device_path(name) / "block", "sda", "8:0");
    machine.add_block(disk, "sda1", "8:1");
    machine.add_mount("8:1", "/mnt", "/dev/sda1");
    EXPECT_ERROR(
        binder().bind(address), ErrorKind::busy,
        "cannot bind to vfio-pci the device 0000:00:04.0: it is in use: /dev/sda1 is mounted at /mnt; "
        "unmount it, or stop what uses it, first");
    EXPECT_THAT(machine.written, IsEmpty());
}

TEST_F(Binding, RefusesAGroupWithOtherBoundDevicesAndSaysWhich) {
    machine.add({.address = "0000:00:04.1", .driver = "i801_smbus", .group = 3});
    EXPECT_ERROR(
        binder().bind(address), ErrorKind::busy,
        "cannot bind to vfio-pci the device 0000:00:04.0: its IOMMU group 3 holds other devices with kernel "
        "drivers: 0000:00:04.1 (i801_smbus); one group is one protection domain: bind those to vfio-pci or "
        "unbind them too, or move the device to another slot");
    EXPECT_THAT(machine.written, IsEmpty());
}

TEST_F(Binding, RefusesWithoutTheModule) {
    machine.remove_driver("vfio-pci");
    EXPECT_ERROR(binder().bind(address), ErrorKind::unsupported,
                 "cannot bind to vfio-pci the device 0000:00:04.0: the kernel module vfio-pci is not loaded; "
                 "run `modprobe vfio-pci` as root");
}

TEST_F(Binding, RefusesWithoutAnIommu) {
    FakeMachine bare;
    bare.add({.address = name, .driver = "ata_piix"});
    bare.add_driver("vfio-pci");
    const auto error = test::error_of([&] { Binder(bare.inventory(), bare.kernel()).bind(address); });
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("no IOMMU is at work on this machine"));
    EXPECT_THAT(error.what(), HasSubstr("intel_iommu=on"));
    EXPECT_THAT(bare.written, IsEmpty());
}

TEST_F(Binding, RefusesABridge) {
    machine.add({.address = "0000:00:05.0", .class_code = "0x060400", .driver = "pcieport", .group = 4});
    const auto error = test::error_of([&] { binder().bind(PciAddress::parse("0000:00:05.0")); });
    EXPECT_THAT(error.what(), HasSubstr("it is a PCI bridge"));
}

TEST_F(Binding, SaysWhenItIsNotPermittedAndChangesNothing) {
    machine.forbidden = "driver_override";
    const auto error = test::error_of([&] { binder().bind(address); });
    EXPECT_EQ(error.kind(), ErrorKind::not_permitted);
    EXPECT_THAT(error.what(), HasSubstr("cannot bind to vfio-pci the device 0000:00:04.0: "));
    EXPECT_THAT(error.what(), HasSubstr("driver_override: Permission denied (EACCES); run it as root"));
    EXPECT_EQ(machine.driver_of(name), "ata_piix");
}

TEST_F(Binding, DoesNotTakeADeviceAwayFromAProgramThatDrivesIt) {
    binder().bind(address);
    machine.written.clear();
    machine.add_process(77, "outboard", "/dev/vfio/3");
    EXPECT_ERROR(
        binder().restore(address), ErrorKind::busy,
        "cannot give back to the kernel the device 0000:00:04.0: it is in use: process 77 (outboard) has "
        "/dev/vfio/3 open; stop what uses it first");
    EXPECT_THAT(machine.written, IsEmpty());
}

TEST_F(Binding, SaysWhenTheOldDriverWasUnloaded) {
    binder().bind(address);
    machine.remove_driver("ata_piix");
    EXPECT_ERROR(
        binder().restore(address), ErrorKind::unsupported,
        "cannot give back to the kernel the device 0000:00:04.0: its driver ata_piix is not loaded any more; "
        "run `modprobe ata_piix` as root");
    EXPECT_EQ(machine.driver_of(name), "vfio-pci");
}

}  // namespace
}  // namespace outboard
