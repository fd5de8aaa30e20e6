// Taking devices from kernel drivers and giving them back, and what is said when that cannot be: run in
// guests of `outboard lab`. The suites NoIommu and NoModule want a machine without the one or the other, and
// the options --device ide; all others run in `outboard lab --device ide --device edu --device nvme --device
// e1000e`.
#include "outboard/backend/pci/binding.hpp"
#include "outboard/backend/pci/claim.hpp"
#include "outboard/backend/pci/usage.hpp"
#include "outboard/base/file.hpp"
#include "outboard/device/device.hpp"

#include <chrono>
#include <filesystem>
#include <string>

#include "tests/lab/guest.hpp"
#include "tests/support/expect_error.hpp"
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using test::as_user;
using test::Borrowed;
using test::holds_within;
using test::shell;
using ::testing::HasSubstr;

const PciAddress ide = PciAddress::parse(test::ide_name);
const PciAddress edu = PciAddress::parse(test::edu_name);
const PciAddress e1000e = PciAddress::parse(test::e1000e_name);

bool disk_is_there() {
    return std::filesystem::exists("/dev/sda");
}

std::string group_file(const PciAddress& address) {
    return fmt::format("/dev/vfio/{}", Inventory().device(address).iommu_group.value_or(0));
}

// ---- there and back ----

class IdeBinding : public ::testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(holds_within(10s, disk_is_there)) << "the kernel's driver found no disk";
    }
};

TEST_F(IdeBinding, TheDiskGoesAndComesBack) {
    shell(
        "dd if=/dev/urandom of=/tmp/before bs=64k count=1 2>/dev/null && dd if=/tmp/before of=/dev/sda "
        "conv=fsync "
        "2>/dev/null");
    EXPECT_EQ(Binder().bind(ide).before, "ata_piix");
    EXPECT_EQ(Inventory().device(ide).driver, "vfio-pci");
    EXPECT_TRUE(holds_within(5s, [] { return !disk_is_there(); }));
    EXPECT_TRUE(std::filesystem::exists(group_file(ide)));
    EXPECT_EQ(Binder().restore(ide).after, "ata_piix");
    ASSERT_TRUE(holds_within(10s, disk_is_there));
    EXPECT_EQ(read_text(Inventory().device(ide).path / "driver_override"), "(null)");
    shell("dd if=/dev/sda of=/tmp/after bs=64k count=1 2>/dev/null && cmp /tmp/before /tmp/after");
}

TEST_F(IdeBinding, AMountedDiskIsRefused) {
    shell("mke2fs -q -F /dev/sda 8M && mount -t ext4 /dev/sda /mnt");
    EXPECT_ERROR(
        Binder().bind(ide), ErrorKind::busy,
        "cannot bind to vfio-pci the device 0000:00:04.0: it is in use: /dev/sda is mounted at /mnt; "
        "unmount it, or stop what uses it, first");
    EXPECT_EQ(Inventory().device(ide).driver, "ata_piix");
    shell("umount /mnt");
    const Borrowed now(test::ide_name);
}

TEST_F(IdeBinding, SwapIsRefused) {
    shell("mkswap /dev/sda >/dev/null && swapon /dev/sda");
    const auto error = test::error_of([] { Binder().bind(ide); });
    shell("swapoff /dev/sda");
    EXPECT_THAT(error.what(), HasSubstr("it is in use: /dev/sda is active swap"));
}

TEST_F(IdeBinding, ADiskThatAProgramHasOpenIsRefused) {
    const Fd disk = open_file("/dev/sda", O_RDONLY);
    const auto error = test::error_of([] { Binder().bind(ide); });
    EXPECT_THAT(error.what(),
                HasSubstr(fmt::format("process {} (guest_binding) has /dev/sda open", ::getpid())));
}

TEST_F(IdeBinding, ADiskThatTheKernelHasClaimedIsRefused) {
    // A machine whose processes cannot be seen: who claimed the disk is in no list.
    const Fd disk = open_file("/dev/sda", O_RDONLY | O_EXCL);
    const auto error = test::error_of([&] { Binder(Inventory({.proc = "/nowhere"})).bind(ide); });
    EXPECT_THAT(error.what(), HasSubstr("it is in use: something in the kernel has claimed /dev/sda"));
}

TEST_F(IdeBinding, ADeviceThatAnotherProcessHasClaimedIsLeftAlone) {
    const DeviceClaim claim(Inventory().device(ide));
    EXPECT_ERROR(
        DeviceClaim(Inventory().device(ide)), ErrorKind::busy,
        "cannot take 0000:00:04.0: another process of this program drives it, or is about to take it or "
        "give it back; wait for that process, or end it");
}

TEST(NetBinding, AnInterfaceThatIsUpIsRefused) {
    const auto device = Inventory().device(e1000e);
    const std::string name =
        std::filesystem::directory_iterator(device.path / "net")->path().filename().string();
    shell("ip link set " + name + " up");
    const auto error = test::error_of([] { Binder().bind(e1000e); });
    shell("ip link set " + name + " down");
    EXPECT_EQ(error.kind(), ErrorKind::busy);
    EXPECT_THAT(error.what(), HasSubstr("it is in use: network interface " + name + " is up"));
    const Borrowed now(test::e1000e_name);
}

TEST(GroupBinding, AGroupWithOtherDevicesIsRefused) {
    // The chipset's AHCI controller shares its group with LPC and SMBus (i801_smbus where it is loaded).
    const Inventory inventory;
    const auto smbus = inventory.device(PciAddress::parse("0000:00:1f.3"));
    const auto ahci = inventory.device(PciAddress::parse("0000:00:1f.2"));
    ASSERT_EQ(smbus.iommu_group, ahci.iommu_group);
    shell("modprobe i2c-i801");
    ASSERT_EQ(inventory.device(smbus.address).driver, "i801_smbus");
    const auto error = test::error_of([&] { Binder().bind(ahci.address); });
    EXPECT_EQ(error.kind(), ErrorKind::busy);
    EXPECT_THAT(error.what(),
                HasSubstr("holds other devices with kernel drivers: 0000:00:1f.3 (i801_smbus)"));
}

// ---- opening ----

TEST(Opening, ADeviceOfTheKernelIsRefused) {
    EXPECT_ERROR(Device::open(test::ide_name), ErrorKind::not_found,
                 "cannot open 0000:00:04.0: ata_piix is bound to it, not vfio-pci; run `outboard bind "
                 "0000:00:04.0` as "
                 "root");
}

TEST(Opening, ADeviceOpensOnce) {
    const Borrowed borrowed(test::edu_name);
    const auto first = borrowed.open();
    const auto error = test::error_of([&] { (void)borrowed.open(); });
    EXPECT_EQ(error.kind(), ErrorKind::busy);
    EXPECT_THAT(error.what(), HasSubstr("cannot open " + group_file(edu) + " for 0000:00:06.0: "));
    EXPECT_THAT(error.what(), HasSubstr("another program uses the device"));
}

TEST(Opening, AnOpenDeviceIsNotTakenAway) {
    const Borrowed borrowed(test::edu_name);
    const auto device = borrowed.open();
    const auto error = test::error_of([&] { Binder().restore(edu); });
    EXPECT_EQ(error.kind(), ErrorKind::busy);
    EXPECT_THAT(error.what(), HasSubstr(fmt::format("process {} (guest_binding) has {} open", ::getpid(),
                                                    group_file(edu))));
}

// ---- without rights ----

TEST(Unprivileged, CannotBind) {
    const std::string message = as_user([] { Binder().bind(edu); });
    EXPECT_THAT(message, HasSubstr("cannot bind to vfio-pci the device 0000:00:06.0: "));
    EXPECT_THAT(message, HasSubstr("Permission denied (EACCES); run it as root"));
}

TEST(Unprivileged, CannotOpenTheGroupOfAnother) {
    const Borrowed borrowed(test::edu_name);
    EXPECT_EQ(
        as_user([&] { (void)borrowed.open(); }),
        fmt::format("cannot open {0} for 0000:00:06.0: Permission denied (EACCES); run as root, or give the "
                    "group to your user: `chown 1000 {0}` as root",
                    group_file(edu)));
}

/// Opens edu and makes an arena of 1 MiB as a user who owns the group and may lock `kibibytes`.
std::string arena_as_user(const Borrowed& borrowed, rlim_t soft, rlim_t hard) {
    shell("chown 1000 " + group_file(edu));
    return as_user([&] {
        const rlimit limit{.rlim_cur = soft << 10, .rlim_max = hard << 10};
        if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
            throw_errno(errno, "set", "the limit");
        const auto device = borrowed.open();
        device->create_arena({.size = 1 << 20, .address_bits = 28});
    });
}

TEST(Unprivileged, ATooLowMemoryLockLimitIsExplained) {
    const Borrowed borrowed(test::edu_name);
    EXPECT_EQ(arena_as_user(borrowed, 64, 64),
              "cannot map 1024 KiB of memory for DMA by 0000:00:06.0: such memory is locked, and the "
              "memory-lock limit "
              "(RLIMIT_MEMLOCK) is too low: the limit is 64 KiB, 0 KiB are locked already, 1024 KiB are "
              "needed in all; "
              "raise it to at least 1024 KiB: `ulimit -l 1024` in a root shell, memlock in "
              "/etc/security/limits.conf, or LimitMEMLOCK=1024K in a systemd unit");
    EXPECT_THAT(arena_as_user(borrowed, 64, 4096), HasSubstr("run `ulimit -l 1024` first"));
}

TEST(Unprivileged, WithTheGroupAndTheLimitADeviceCanBeDriven) {
    const Borrowed borrowed(test::edu_name);
    EXPECT_EQ(arena_as_user(borrowed, 1024, 1024), "");
}

// ---- machines that lack something ----

TEST(NoIommu, IsSaid) {
    for (const auto& action :
         {+[] { (void)Binder().bind(ide); }, +[] { (void)Device::open(test::ide_name); }}) {
        const auto error = test::error_of(action);
        EXPECT_EQ(error.kind(), ErrorKind::unsupported);
        EXPECT_THAT(error.what(), HasSubstr("0000:00:04.0: no IOMMU is at work on this machine"));
        EXPECT_THAT(error.what(), HasSubstr("boot with intel_iommu=on"));
    }
    EXPECT_EQ(Inventory().device(ide).driver, "ata_piix");
}

TEST(NoModule, IsSaid) {
    EXPECT_ERROR(
        Binder().bind(ide), ErrorKind::unsupported,
        "cannot bind to vfio-pci the device 0000:00:04.0: the kernel module vfio-pci is not loaded; run "
        "`modprobe vfio-pci` as root");
    EXPECT_EQ(Inventory().device(ide).driver, "ata_piix");
}

}  // namespace
}  // namespace outboard
