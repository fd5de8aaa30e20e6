#include "outboard/backend/pci/usage.hpp"

#include "tests/support/fake_machine.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard {
namespace {

using test::FakeMachine;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* name = "0000:00:04.0";

class Usage : public ::testing::Test {
  protected:
    Usage() { machine.add({.address = name, .driver = "ata_piix", .group = 3}); }

    /// The device's disk with one partition.
    void add_disk() {
        disk = machine.add_block(machine.device_path(name) / "ata1/host0/target0:0:0/block", "sda", "8:0");
        partition = machine.add_block(disk, "sda1", "8:1");
    }
    std::vector<std::string> users() const {
        const Inventory inventory = machine.inventory();
        return device_users(inventory, inventory.device(PciAddress::parse(name)));
    }

    FakeMachine machine;
    std::filesystem::path disk;
    std::filesystem::path partition;
};

TEST_F(Usage, AnIdleDiskHasNoUsers) {
    add_disk();
    EXPECT_THAT(users(), IsEmpty());
}

TEST_F(Usage, AMountedPartitionCounts) {
    add_disk();
    machine.add_mount("8:1", "/mnt", "/dev/sda1");
    EXPECT_THAT(users(), ElementsAre("/dev/sda1 is mounted at /mnt"));
}

TEST_F(Usage, EveryMountIsNamed) {
    add_disk();
    machine.add_mount("8:0", "/whole", "/dev/sda");
    machine.add_mount("8:1", "/mnt", "/dev/sda1");
    machine.add_mount("8:1", "/other", "/dev/sda1");
    EXPECT_THAT(users(), ElementsAre("/dev/sda is mounted at /whole", "/dev/sda1 is mounted at /mnt",
                                     "/dev/sda1 is mounted at /other"));
}

TEST_F(Usage, AFileSystemWithANumberOfItsOwnIsFoundByItsSource) {
    add_disk();
    machine.add_mount("0:45", "/btrfs", "/dev/sda1");
    EXPECT_THAT(users(), ElementsAre("/dev/sda1 is mounted at /btrfs"));
}

TEST_F(Usage, AMountThatOnlyAContainerSeesCounts) {
    add_disk();
    const std::filesystem::path container = machine.paths().proc / "77";
    std::filesystem::create_directories(container / "ns");
    std::filesystem::create_symlink("mnt:[4026532000]", container / "ns/mnt");
    std::ofstream(container / "mountinfo") << "40 22 8:1 / /data rw,relatime - ext4 /dev/sda1 rw\n";
    EXPECT_THAT(users(), ElementsAre("/dev/sda1 is mounted at /data"));
}

TEST_F(Usage, OtherDisksMountsDoNotCount) {
    add_disk();
    machine.add_mount("8:16", "/mnt", "/dev/sdb");
    machine.add_swap("/dev/sdb2");
    EXPECT_THAT(users(), IsEmpty());
}

TEST_F(Usage, ActiveSwapCounts) {
    add_disk();
    machine.add_swap("/dev/sda1");
    EXPECT_THAT(users(), ElementsAre("/dev/sda1 is active swap"));
}

TEST_F(Usage, StackedDisksCountAndSoDoTheirMounts) {
    add_disk();
    const auto mapped = machine.add_block(machine.paths().sys / "devices/virtual/block", "dm-0", "254:0");
    std::filesystem::create_directory_symlink(mapped, partition / "holders/dm-0");
    machine.add_mount("254:0", "/home", "/dev/mapper/home");
    EXPECT_THAT(users(), ElementsAre("dm-0 is built on /dev/sda1", "dm-0 on /dev/sda1 is mounted at /home"));
}

TEST_F(Usage, DisksOnStackedDisksCount) {
    add_disk();
    const auto raid = machine.add_block(machine.paths().sys / "devices/virtual/block", "md0", "9:0");
    const auto mapped = machine.add_block(machine.paths().sys / "devices/virtual/block", "dm-0", "254:0");
    std::filesystem::create_directory_symlink(raid, disk / "holders/md0");
    std::filesystem::create_directory_symlink(mapped, raid / "holders/dm-0");
    machine.add_swap("/dev/dm-0");
    EXPECT_THAT(users(), ElementsAre("md0 is built on /dev/sda", "dm-0 is built on md0",
                                     "dm-0 on md0 is active swap"));
}

TEST_F(Usage, NvmeDisksWithSeveralPathsBelongToTheirControllers) {
    const auto controller = machine.device_path(name) / "nvme/nvme0";
    std::filesystem::create_directories(controller);
    const auto subsystem = machine.paths().sys / "devices/virtual/nvme-subsystem/nvme-subsys0";
    std::filesystem::create_directories(subsystem);
    std::filesystem::create_directory_symlink(controller, subsystem / "nvme0");
    machine.add_block(subsystem, "nvme0n1", "259:0");
    machine.add_mount("259:0", "/data", "/dev/nvme0n1");
    EXPECT_THAT(users(), ElementsAre("/dev/nvme0n1 is mounted at /data"));
}

TEST_F(Usage, AnInterfaceThatIsUpCounts) {
    machine.add_interface(machine.device_path(name), "eth0", "0x1003");
    EXPECT_THAT(users(), ElementsAre("network interface eth0 is up"));
}

TEST_F(Usage, AnInterfaceThatIsDownDoesNot) {
    machine.add_interface(machine.device_path(name), "eth0", "0x1002");
    machine.add_interface(machine.paths().sys / "devices/virtual", "lo", "0x9");
    EXPECT_THAT(users(), IsEmpty());
}

TEST_F(Usage, AnInterfaceThatGoesMeanwhileDoesNotCount) {
    machine.add_interface(machine.device_path(name), "eth0", "");
    machine.put(machine.device_path(name) / "net/eth0/flags", "");
    EXPECT_THAT(users(), IsEmpty());
}

TEST_F(Usage, AProcessThatHasTheDiskOpenCounts) {
    add_disk();
    machine.add_process(812, "fio", "/dev/sda");
    EXPECT_THAT(users(), ElementsAre("process 812 (fio) has /dev/sda open"));
}

TEST_F(Usage, AProcessThatHasTheVfioGroupOpenCounts) {
    machine.add_process(77, "qemu", "/dev/vfio/3");
    machine.add_process(78, "qemu", "/dev/vfio/4");
    EXPECT_THAT(users(), ElementsAre("process 77 (qemu) has /dev/vfio/3 open"));
}

TEST_F(Usage, ADeviceBehindABridgeIsNotTheBridge) {
    const auto behind = machine.device_path(name) / "0000:01:00.0";
    machine.add_block(behind / "block", "sdb", "8:16");
    machine.add_mount("8:16", "/mnt", "/dev/sdb");
    machine.add_interface(behind, "eth1", "0x1003");
    EXPECT_THAT(users(), IsEmpty());
}

TEST(Join, PutsTextsTogether) {
    EXPECT_EQ(join({}), "");
    EXPECT_EQ(join({"a"}), "a");
    EXPECT_EQ(join({"a", "b"}), "a; b");
}

}  // namespace
}  // namespace outboard
