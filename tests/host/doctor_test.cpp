#include "outboard/host/doctor.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/fake_machine.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard {
namespace {

using test::FakeMachine;
using ::testing::HasSubstr;

constexpr const char* release = "6.12.95+deb12-amd64";
constexpr const char* name = "0000:00:04.0";
const PciAddress address = PciAddress::parse(name);

/// The check of that name; a failed one without text when it is missing.
Check check(const std::vector<Check>& checks, const std::string& wanted) {
    const auto found = std::ranges::find(checks, wanted, &Check::name);
    EXPECT_NE(found, checks.end()) << wanted;
    return found != checks.end() ? *found : Check{.name = wanted, .result = CheckResult::fail, .text = {}};
}

class Doctor : public ::testing::Test {
  protected:
    Doctor() {
        machine.add({.address = name, .driver = "ata_piix", .group = 3});
        std::filesystem::create_directories(machine.paths().sys / "module/vfio_pci");
        std::filesystem::create_directories(machine.paths().sys / "module/vfio_iommu_type1/parameters");
        FakeMachine::put(unsafe_interrupts(), "N\n");
        std::filesystem::create_directories(machine.paths().dev / "vfio");
        FakeMachine::put(machine.paths().dev / "vfio/vfio", "");
    }
    std::filesystem::path unsafe_interrupts() const {
        return machine.paths().sys / "module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
    }
    std::vector<Check> look() const { return check_machine(machine.inventory(), release); }
    std::vector<Check> look_at_device() const { return check_device(machine.inventory(), address); }

    FakeMachine machine;
};

TEST_F(Doctor, AHealthyMachineFailsNothingAndNeedsNothing) {
    for (const Check& found : look()) {
        EXPECT_EQ(found.result, CheckResult::ok) << found.name << ": " << found.text;
        EXPECT_EQ(found.remedy, "") << found.name;
    }
}

TEST_F(Doctor, AnOldKernelFails) {
    EXPECT_EQ(check(check_machine(machine.inventory(), "5.10.0-30-amd64"), "kernel").result,
              CheckResult::fail);
    EXPECT_EQ(check(check_machine(machine.inventory(), "6.1.0-49-amd64"), "kernel").result, CheckResult::ok);
    EXPECT_EQ(check(check_machine(machine.inventory(), "10.0"), "kernel").result, CheckResult::ok);
    EXPECT_EQ(check(check_machine(machine.inventory(), "unknown"), "kernel").result, CheckResult::fail);
}

TEST_F(Doctor, AMachineWithoutIommuFails) {
    const FakeMachine bare;
    const Check found = check(check_machine(bare.inventory(), release), "iommu");
    EXPECT_EQ(found.result, CheckResult::fail);
    EXPECT_THAT(found.remedy, HasSubstr("intel_iommu=on"));
}

TEST_F(Doctor, AModuleThatIsNotLoadedIsAWarning) {
    std::filesystem::remove_all(machine.paths().sys / "module/vfio_pci");
    std::filesystem::create_directories(machine.paths().modules / release);
    FakeMachine::put(machine.paths().modules / release / "modules.dep",
                     "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n");
    const Check found = check(look(), "vfio-pci");
    EXPECT_EQ(found.result, CheckResult::warn);
    EXPECT_EQ(found.remedy, "run `modprobe vfio-pci` as root");
}

TEST_F(Doctor, AModuleThatIsMissingFails) {
    std::filesystem::remove_all(machine.paths().sys / "module");
    EXPECT_EQ(check(look(), "vfio-pci").result, CheckResult::fail);
    EXPECT_EQ(check(look(), "vfio_iommu_type1").result, CheckResult::fail);
}

TEST_F(Doctor, UnsafeInterruptsAreAWarning) {
    FakeMachine::put(unsafe_interrupts(), "Y\n");
    EXPECT_EQ(check(look(), "vfio_iommu_type1").result, CheckResult::warn);
}

TEST_F(Doctor, AMissingVfioFileIsAWarning) {
    std::filesystem::remove_all(machine.paths().dev / "vfio");
    EXPECT_EQ(check(look(), "vfio-file").result, CheckResult::warn);
}

TEST(DoctorMemoryLock, SaysWhetherADriversMemoryCanBeLocked) {
    constexpr std::uint64_t needed = 16 << 20;
    EXPECT_EQ(check_memory_lock_limit({.locked = 0, .soft_limit = 0, .hard_limit = 0, .exempt = true}, needed)
                  .result,
              CheckResult::ok);
    EXPECT_EQ(check_memory_lock_limit({.soft_limit = UINT64_MAX, .hard_limit = UINT64_MAX}, needed).result,
              CheckResult::ok);
    EXPECT_EQ(check_memory_lock_limit({.soft_limit = needed, .hard_limit = needed}, needed).result,
              CheckResult::ok);
    const Check low = check_memory_lock_limit({.soft_limit = 8 << 20, .hard_limit = 8 << 20}, needed);
    EXPECT_EQ(low.result, CheckResult::fail);
    EXPECT_THAT(low.text, HasSubstr("the limit is 8192 KiB"));
    EXPECT_THAT(low.remedy, HasSubstr("LimitMEMLOCK=16384K"));
}

TEST_F(Doctor, ADeviceThatCanBeTakenFailsNothing) {
    for (const Check& found : look_at_device())
        EXPECT_NE(found.result, CheckResult::fail) << found.name << ": " << found.text;
    EXPECT_EQ(check(look_at_device(), "driver").text, "bound to ata_piix");
    EXPECT_THAT(check(look_at_device(), "outboard-driver").text, HasSubstr("ide: "));
    EXPECT_EQ(check(look_at_device(), "reset").text, "flr, bus");
}

TEST_F(Doctor, ADeviceInUseFailsAndSaysByWhat) {
    machine.add_block(machine.device_path(name) / "block", "sda", "8:0");
    machine.add_mount("8:0", "/mnt", "/dev/sda");
    const Check found = check(look_at_device(), "in-use");
    EXPECT_EQ(found.result, CheckResult::fail);
    EXPECT_EQ(found.text, "/dev/sda is mounted at /mnt");
}

TEST_F(Doctor, AGroupWithOtherBoundDevicesFailsAndSaysWhich) {
    machine.add({.address = "0000:00:04.1", .driver = "i801_smbus", .group = 3});
    const Check found = check(look_at_device(), "group");
    EXPECT_EQ(found.result, CheckResult::fail);
    EXPECT_THAT(found.text, HasSubstr("0000:00:04.1 (i801_smbus)"));
}

TEST_F(Doctor, AnUnknownDeviceFails) {
    const auto checks = check_device(machine.inventory(), PciAddress::parse("0000:00:09.0"));
    ASSERT_EQ(checks.size(), 1U);
    EXPECT_EQ(checks[0].result, CheckResult::fail);
    EXPECT_THAT(checks[0].remedy, HasSubstr("outboard list --all"));
}

TEST_F(Doctor, RightsOnABoundDeviceAreLookedAt) {
    const auto driver = machine.device_path(name) / "driver";
    std::filesystem::remove(driver);
    machine.add_driver("vfio-pci");
    std::filesystem::create_directory_symlink(machine.paths().sys / "bus/pci/drivers/vfio-pci", driver);
    EXPECT_EQ(check(look_at_device(), "rights").result, CheckResult::fail) << "there is no file of the group";
    FakeMachine::put(machine.paths().dev / "vfio/3", "");
    EXPECT_EQ(check(look_at_device(), "rights").result, CheckResult::ok);
}

TEST_F(Doctor, InterruptsAreReadFromConfigurationSpace) {
    EXPECT_THAT(check(look_at_device(), "interrupts").text, HasSubstr("poll"));
    std::string config(256, '\0');
    config[0x06] = 0x10;  // capabilities
    config[0x34] = 0x40;
    config[0x3d] = 1;  // interrupt pin A
    config[0x40] = 0x05;
    config[0x41] = 0x50;
    config[0x42] = 0x06;  // 8 messages
    config[0x50] = 0x11;
    config[0x52] = 0x40;  // 65 vectors
    FakeMachine::put(machine.device_path(name) / "config", config);
    EXPECT_EQ(check(look_at_device(), "interrupts").text, "INTx, MSI (8), MSI-X (65)");
}

}  // namespace
}  // namespace outboard
