// From --device to QEMU's arguments.
#include "outboard/lab/devices.hpp"

#include "outboard/base/error.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::lab {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

TEST(Devices, TakesAnOptionApart) {
    DeviceOption option = parse_device("nvme,size=64M,cmb_size_mb=16,ms");
    EXPECT_EQ(option.name, "nvme");
    EXPECT_EQ(option.take("size"), "64M");
    EXPECT_EQ(option.take("size", "1G"), "1G");
    EXPECT_THAT(option.properties, ElementsAre(Pair("cmb_size_mb", "16"), Pair("ms", "on")));
}

TEST(Devices, RefusesAnOptionWithoutAName) {
    for (const char* text : {"", ",size=1M"})
        EXPECT_THROW(parse_device(text), Error) << text;
}

TEST(Devices, ReadsSizes) {
    EXPECT_EQ(parse_size("512"), 512U);
    EXPECT_EQ(parse_size("64M"), 64U << 20);
    EXPECT_EQ(parse_size("2T"), 2ULL << 40);
    for (const char* text : {"", "M", "0", "-1", "1X", "1MB", "99999999999T"})
        EXPECT_THROW(parse_size(text), Error) << text;
}

TEST(Devices, PutsIdeDisksOnTwoChannelsOfOneController) {
    const Devices devices = lay_out({"ide", "ide", "ide,size=10M"});
    EXPECT_THAT(devices.addresses, ElementsAre(Pair("ide0", "0000:00:04.0")));
    ASSERT_EQ(devices.disks.size(), 3U);
    EXPECT_EQ(devices.disks[2].size, 10U << 20);
    EXPECT_THAT(devices.arguments, Contains("piix3-ide,id=ide-controller,addr=4").Times(1));
    EXPECT_THAT(devices.arguments, Contains(HasSubstr("ide-hd,id=ide1,bus=ide-controller.0,unit=1,")));
    EXPECT_THAT(devices.arguments, Contains(HasSubstr("ide-hd,id=ide2,bus=ide-controller.1,unit=0,")));
}

TEST(Devices, RefusesAFifthIdeDisk) {
    EXPECT_THROW(lay_out({"ide", "ide", "ide", "ide", "ide"}), Error);
}

TEST(Devices, NumbersBusesInTheOrderOfTheOptions) {
    const Devices devices = lay_out({"virtio-net", "edu", "nvme", "e1000e"});
    EXPECT_THAT(devices.addresses,
                ElementsAre(Pair("virtio-net0", "0000:01:00.0"), Pair("edu0", "0000:00:06.0"),
                            Pair("nvme0", "0000:02:00.0"), Pair("e1000e0", "0000:03:00.0")));
    EXPECT_THAT(devices.arguments, Contains("pcie-root-port,id=port2,chassis=2,addr=11"));
    EXPECT_THAT(devices.arguments,
                Contains(AllOf(HasSubstr("nvme,id=nvme0,bus=port2"), HasSubstr("drive=nvme0-drive"))));
}

TEST(Devices, ShutsTheNetworkOffFromTheWorld) {
    EXPECT_THAT(lay_out({"e1000e"}).arguments, Contains("user,id=e1000e0-net,restrict=on"));
}

TEST(Devices, JoinsCardsByAHub) {
    const Devices devices = lay_out({"e1000,hub=1", "virtio-net,hub=1"});
    EXPECT_THAT(devices.arguments, Contains("hubport,id=e1000-0-net,hubid=1"));
    EXPECT_THAT(devices.arguments, Contains("hubport,id=virtio-net0-net,hubid=1"));
}

TEST(Devices, ADiskThatStoresNothingNeedsNoFile) {
    const Devices devices = lay_out({"nvme,null=on,size=2G"});
    EXPECT_THAT(devices.disks, IsEmpty());
    EXPECT_THAT(devices.arguments,
                Contains("driver=null-co,size=2147483648,read-zeroes=on,if=none,id=nvme0-drive"));
}

TEST(Devices, PutsTheFaultInjectorBetween) {
    const Devices devices = lay_out({"ide,blkdebug=/tmp/faults"});
    EXPECT_THAT(devices.arguments, Contains(AllOf(HasSubstr("file.driver=blkdebug,file.config=/tmp/faults"),
                                                  HasSubstr("file.image.filename=@DISK:ide0@"))));
}

TEST(Devices, PassesPropertiesOn) {
    EXPECT_THAT(lay_out({"edu,dma_mask=0xffffffff"}).arguments,
                Contains("edu,id=edu0,addr=6,dma_mask=0xffffffff"));
}

TEST(Devices, LeavesNamesOfQemuAlone) {
    const Devices devices = lay_out({"usb-tablet,id=x"});
    EXPECT_THAT(devices.arguments, ElementsAre("-device", "usb-tablet,id=x"));
    EXPECT_THAT(devices.addresses, IsEmpty());
}

TEST(Devices, RefusesASecondDeviceInOnePlace) {
    EXPECT_THROW(lay_out({"edu", "edu"}), Error);
}

}  // namespace
}  // namespace outboard::lab
