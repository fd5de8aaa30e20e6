#include "outboard/device/device.hpp"

#include <array>

#include "tests/support/expect_error.hpp"
#include "tests/support/fake_backend.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outboard {
namespace {

using test::FakeBackend;
using ::testing::HasSubstr;

constexpr std::uint16_t bus_master = 1 << 2;
constexpr std::uint16_t intx_disable = 1 << 10;

class DeviceTest : public ::testing::Test {
  protected:
    DeviceTest() {
        auto owned = std::make_unique<FakeBackend>();
        backend = owned.get();
        device = std::make_unique<Device>(std::move(owned));
    }
    FakeBackend* backend = nullptr;
    std::unique_ptr<Device> device;
};

struct Status : Register<Status, std::uint32_t, 0x04, Access::read_write> {};

TEST_F(DeviceTest, AMappedRegionIsAccessedDirectly) {
    auto& bytes = backend->add_region(RegionIndex::bar0, 4096, true);
    const Region region = device->region(RegionIndex::bar0);
    EXPECT_TRUE(region.mapped());
    region.block<16>().write(Value<Status>(0x11223344));
    EXPECT_EQ(bytes[4], std::byte{0x44});
    EXPECT_EQ(region.load<std::uint16_t>(6), 0x1122);
    region.store<std::uint8_t>(8, 0x5a);
    EXPECT_EQ(region.load<std::uint64_t>(8), 0x5aU);
    EXPECT_TRUE(backend->access_sizes.empty()) << "a call for mapped memory";
}

TEST_F(DeviceTest, APortRangeIsAccessedByCallsOfItsWidth) {
    auto& bytes = backend->add_region(RegionIndex::bar4, 16, false);
    const Region region = device->region(RegionIndex::bar4);
    EXPECT_FALSE(region.mapped());
    region.block<16>().write(Value<Status>(0x11223344));
    region.store<std::uint8_t>(0, 0x5a);
    EXPECT_EQ(bytes[4], std::byte{0x44});
    EXPECT_EQ(region.load<std::uint8_t>(0), 0x5a);
    EXPECT_THAT(backend->access_sizes, ::testing::ElementsAre(4, 1, 1));
}

TEST_F(DeviceTest, ARegionThatCanBeMappedInPartIsAccessedBothWays) {
    auto& bytes = backend->add_region(RegionIndex::bar0, 3 * 4096, false);
    backend->set_mappable(RegionIndex::bar0,
                          {{.offset = 4096, .size = 4096}, {.offset = 2 * 4096, .size = 4096}});
    const Region region = device->region(RegionIndex::bar0);
    EXPECT_FALSE(region.mapped());
    EXPECT_TRUE(region.mapping().empty());
    region.block<16>(4096).write(Value<Status>(0x11223344));
    region.store<std::uint8_t>(3 * 4096 - 1, 0x5a);
    EXPECT_EQ(bytes[4096 + 4], std::byte{0x44});
    EXPECT_EQ(bytes[3 * 4096 - 1], std::byte{0x5a});
    EXPECT_TRUE(backend->access_sizes.empty()) << "a call for mapped memory";
    region.block<16>(4096 - 16).write(Value<Status>(1));
    EXPECT_EQ(region.load<std::uint32_t>(4096 - 4), 0U);
    // Half of it lies in the part that is not mapped.
    region.block<32>(4096 - 16).write(Value<Status>(2));
    EXPECT_EQ(bytes[4096 - 12], std::byte{2});
    EXPECT_THAT(backend->access_sizes, ::testing::ElementsAre(4, 4, 4));
}

TEST_F(DeviceTest, AMissingRegionIsAnError) {
    EXPECT_FALSE(device->has_region(RegionIndex::bar2));
    EXPECT_ERROR(device->region(RegionIndex::bar2), ErrorKind::not_found,
                 "cannot use region 2 of 0000:00:04.0: the device does not have it");
}

TEST_F(DeviceTest, AWindowOutsideTheRegionIsAnError) {
    backend->add_region(RegionIndex::bar0, 0x100, true);
    const Region region = device->region(RegionIndex::bar0);
    EXPECT_ERROR(region.block<16>(0xf4), ErrorKind::failed,
                 "cannot use bytes 0xf4 to 0x103 of region 0 of 0000:00:04.0: the region has 0x100 bytes");
    EXPECT_ERROR(region.load<std::uint8_t>(0x100), ErrorKind::failed,
                 "cannot use bytes 0x100 to 0x100 of region 0 of 0000:00:04.0: the region has 0x100 bytes");
    EXPECT_NO_THROW(region.block<16>(0xf0));
}

TEST_F(DeviceTest, AFailedAccessReadsAllOnesAndIsRemembered) {
    backend->add_region(RegionIndex::bar0, 16, false);
    const Region region = device->region(RegionIndex::bar0);
    const auto block = region.block<16>();
    EXPECT_FALSE(block.failed());
    backend->access_error = EIO;
    EXPECT_EQ(block.read<Status>().raw(), 0xffffffff);
    EXPECT_TRUE(block.failed());
    EXPECT_ERROR(region.load<std::uint8_t>(2), ErrorKind::io,
                 "cannot read from offset 0x2 of region 0 of 0000:00:04.0: Input/output error (EIO)");
}

TEST_F(DeviceTest, EveryVectorGetsAnEventfdOfItsOwn) {
    backend->interrupts[InterruptKind::msix] = {.count = 4, .maskable = false};
    auto interrupts = device->enable_interrupts(InterruptKind::msix, 3);
    ASSERT_EQ(interrupts.size(), 3U);
    const auto& eventfds = backend->enabled.at(InterruptKind::msix);
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_EQ(interrupts[i].vector(), i);
        EXPECT_EQ(interrupts[i].eventfd(), eventfds[i]);
        ASSERT_EQ(::eventfd_write(eventfds[i], i + 1), 0);
    }
    for (unsigned i = 0; i < 3; ++i) {
        eventfd_t count = 0;
        ASSERT_EQ(::eventfd_read(interrupts[i].eventfd(), &count), 0);
        EXPECT_EQ(count, i + 1);
    }
    EXPECT_EQ(interrupts[0].unmask(), 0);
    EXPECT_EQ(backend->unmasks, 0) << "MSI-X is not unmasked";
    device->disable_interrupts(InterruptKind::msix);
    EXPECT_TRUE(backend->enabled.empty());
}

TEST_F(DeviceTest, IntxIsUnmaskedThroughTheBackend) {
    backend->interrupts[InterruptKind::intx] = {.count = 1, .maskable = true};
    auto interrupts = device->enable_interrupts(InterruptKind::intx);
    EXPECT_EQ(interrupts.at(0).unmask(), 0);
    EXPECT_EQ(backend->unmasks, 1);
}

TEST_F(DeviceTest, MoreVectorsThanThereAreIsAnError) {
    backend->interrupts[InterruptKind::msi] = {.count = 1, .maskable = false};
    EXPECT_ERROR(
        device->enable_interrupts(InterruptKind::msi, 2), ErrorKind::unsupported,
        "cannot enable 2 interrupt vectors of 0000:00:04.0: it has 1 of this kind that can reach a process");
    EXPECT_ERROR(
        device->enable_interrupts(InterruptKind::intx), ErrorKind::unsupported,
        "cannot enable 1 interrupt vectors of 0000:00:04.0: it has 0 of this kind that can reach a process; "
        "use another kind, or poll");
}

TEST_F(DeviceTest, PollOnlyTurnsEveryInterruptOff) {
    backend->interrupts[InterruptKind::msi] = {.count = 1, .maskable = false};
    const auto interrupts = device->enable_interrupts(InterruptKind::msi);
    device->poll_only();
    EXPECT_TRUE(backend->enabled.empty());
    EXPECT_EQ(backend->command(), intx_disable);
}

TEST_F(DeviceTest, BusMasteringLeavesTheOtherBitsAlone) {
    device->config().write16(4, 0x0103);
    device->set_bus_master(true);
    EXPECT_EQ(backend->command(), 0x0103 | bus_master);
    device->set_bus_master(false);
    EXPECT_EQ(backend->command(), 0x0103);
}

TEST_F(DeviceTest, ResetIsTheBackends) {
    device->reset();
    EXPECT_EQ(backend->resets, 1);
}

TEST_F(DeviceTest, AnArenaIsMadeOnce) {
    EXPECT_ERROR(device->arena(), ErrorKind::failed,
                 "cannot use the DMA arena of 0000:00:04.0: it was not created; call create_arena first");
    DmaArena& arena = device->create_arena({.size = 65536});
    EXPECT_EQ(&device->arena(), &arena);
    EXPECT_ERROR(
        device->create_arena({.size = 65536}), ErrorKind::failed,
        "cannot create the DMA arena of 0000:00:04.0: it has one already; make one that is large enough for "
        "all users");
}

/// Notes whether the device was still bus master when its memory went.
TEST_F(DeviceTest, TheDeviceIsQuietBeforeItsMemoryGoes) {
    device->create_arena({.size = 65536});
    device->set_bus_master(true);
    bool quiet = false;
    backend->on_unmap = [&] { quiet = (backend->command() & bus_master) == 0; };
    device.reset();
    EXPECT_TRUE(quiet);
}

TEST(Device, ALineThatAPollingDriverDisabledIsEnabledAgain) {
    auto owned = std::make_unique<FakeBackend>();
    FakeBackend& backend = *owned;
    backend.interrupts[InterruptKind::intx] = {.count = 1, .maskable = true};
    Device device(std::move(owned));
    device.poll_only();
    ASSERT_NE(backend.command() & 0x400, 0);
    const std::vector<Interrupt> interrupts = device.enable_interrupts(InterruptKind::intx);
    EXPECT_EQ(backend.command() & 0x400, 0);
}

TEST(DeviceOpen, AnUnknownFormOfNameListsTheForms) {
    EXPECT_ERROR(
        Device::open("sda"), ErrorKind::usage,
        "cannot find the device 'sda': that is neither a PCI address in full, such as 0000:00:04.0, nor the "
        "socket of a vfio-user server, such as vfio-user:/run/disk.sock; "
        "`outboard list` shows the PCI devices of this machine");
}

TEST(DeviceOpen, AnUnknownDeviceSaysHowToFindThem) {
    const auto error = test::error_of([] { Device::open("ffff:ff:1f.7"); });
    EXPECT_EQ(error.kind(), ErrorKind::not_found);
    EXPECT_THAT(error.what(), HasSubstr("ffff:ff:1f.7"));
    EXPECT_THAT(error.what(), HasSubstr("outboard list --all"));
}

}  // namespace
}  // namespace outboard
