// Task files against the command tables of ATA/ATAPI-7 volume 1, clause 6, and the words for failed commands.
#include "outboard/drivers/ide/ata.hpp"
#include "outboard/drivers/ide/controller_table.hpp"
#include "outboard/drivers/ide/error.hpp"

#include <cstdint>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::ide {
namespace {

using testing::HasSubstr;

constexpr auto in = Direction::from_device;
constexpr auto out = Direction::to_device;

std::uint8_t code(const TaskFile& task) {
    return static_cast<std::uint8_t>(task.opcode);
}

TEST(IdeCommand, TheShortFormIsTakenWhereItReaches) {
    EXPECT_EQ(code(transfer(in, true, 0, 1)), 0xc8);
    EXPECT_EQ(code(transfer(out, true, 0, 256)), 0xca);
    EXPECT_EQ(code(transfer(in, true, 0, 257)), 0x25);
    EXPECT_EQ(code(transfer(out, true, 0, 257)), 0x35);
    EXPECT_EQ(code(transfer(in, true, 0x0ffffffe, 1)), 0xc8);
    EXPECT_EQ(code(transfer(in, true, 0x0fffffff, 1)), 0x25);
    EXPECT_EQ(code(transfer(in, true, 0x0ffffff0, 16)), 0x25);
    EXPECT_EQ(code(transfer(in, false, 0, 1)), 0x20);
    EXPECT_EQ(code(transfer(out, false, 0, 1)), 0x30);
    EXPECT_EQ(code(transfer(in, false, 0, 1000)), 0x24);
    EXPECT_EQ(code(transfer(out, false, 0, 1000)), 0x34);
    EXPECT_EQ(code(transfer(out, true, 0, 1, true)), 0x3d);
}

TEST(IdeCommand, AFullCountIsWrittenAsZero) {
    EXPECT_EQ(transfer(in, true, 0, 255).count, 255);
    EXPECT_EQ(transfer(in, true, 0, 256).count, 0);
    EXPECT_EQ(transfer(in, true, 0, 65535).count, 65535);
    EXPECT_EQ(transfer(in, true, 0, 65536).count, 0);
}

TEST(IdeCommand, AddressesAreLogicalBlocks) {
    const TaskFile task = transfer(in, true, 0x123456789abc, 8);
    EXPECT_TRUE(task.extended);
    EXPECT_EQ(task.lba, 0x123456789abcU);
    EXPECT_EQ(task.device, 0x40);
    EXPECT_EQ(task.protocol, Protocol::dma_in);
}

TEST(IdeCommand, OthersAreAsTheTablesSay) {
    EXPECT_EQ(code(flush(false)), 0xe7);
    EXPECT_EQ(code(flush(true)), 0xea);
    EXPECT_EQ(code(identify()), 0xec);
    const TaskFile mode = set_feature(Feature::transfer_mode, TransferMode::ultra_dma(2).code);
    EXPECT_EQ(code(mode), 0xef);
    EXPECT_EQ(mode.features, 0x03);
    EXPECT_EQ(mode.count, 0x42);
    EXPECT_EQ(set_feature(Feature::write_cache_off).features, 0x82);
    EXPECT_EQ(code(trim(1)), 0x06);
    EXPECT_EQ(trim(1).features, 0x01);
    EXPECT_EQ(trim_range(0x0000a0b0c0d0e0f0 & 0xffffffffffff, 0x1234), 0x1234a0b0c0d0e0f0U);
}

Ending ending(std::uint8_t status, std::uint8_t error, std::uint8_t bus_master = 0x04) {
    Ending result;
    result.status = Value<Status>(status);
    result.error = Value<ErrorRegister>(error);
    result.bus_master = Value<BusMasterStatus>(bus_master);
    result.lba = 1234;
    return result;
}

TEST(IdeError, TellsSuccessFromFailure) {
    EXPECT_TRUE(succeeded(ending(0x50, 0)));
    EXPECT_TRUE(succeeded(ending(0x50, 0xff))) << "the error register means nothing without ERR";
    EXPECT_FALSE(succeeded(ending(0x51, 0x04)));
    EXPECT_FALSE(succeeded(ending(0x70, 0))) << "device fault";
    EXPECT_FALSE(succeeded(ending(0x58, 0))) << "data is still requested";
    EXPECT_FALSE(succeeded(ending(0xd0, 0))) << "busy";
    EXPECT_FALSE(succeeded(ending(0x50, 0, 0x06))) << "bus error";
    EXPECT_FALSE(succeeded(ending(0x50, 0, 0x05))) << "not everything was moved";
}

TEST(IdeError, DecodesWhatTheMediumAndTheDeviceSay) {
    EXPECT_EQ(block_status(ending(0x51, 0x40)), BlockStatus::media_error);
    EXPECT_EQ(block_status(ending(0x51, 0x10)), BlockStatus::media_error);
    EXPECT_EQ(block_status(ending(0x51, 0x04)), BlockStatus::device_error);
    EXPECT_EQ(block_status(ending(0x51, 0x84)), BlockStatus::device_error);
    EXPECT_EQ(block_status(ending(0x70, 0)), BlockStatus::device_error);
    EXPECT_EQ(block_status(ending(0xff, 0xff)), BlockStatus::removed);
    EXPECT_FALSE(worth_retrying(ending(0x51, 0x40)));
    EXPECT_TRUE(worth_retrying(ending(0x51, 0x84)));
    EXPECT_TRUE(needs_reset(ending(0x58, 0)));
    EXPECT_FALSE(needs_reset(ending(0x51, 0x04)));
}

TEST(IdeError, SaysItInWords) {
    const TaskFile task = transfer(in, true, 1230, 8);
    EXPECT_EQ(describe(task, ending(0x51, 0x40)),
              "READ DMA of 8 sectors at LBA 1230 failed: the medium's data could not be corrected (UNC) at "
              "LBA 1234; "
              "status 0x51, error 0x40");
    EXPECT_THAT(describe(task, ending(0x51, 0x84)),
                HasSubstr("corrupted on the cable (ICRC), the device aborted"));
    EXPECT_THAT(describe(task, ending(0xff, 0)), HasSubstr("all ones"));
    EXPECT_THAT(describe(task, ending(0x70, 0)), HasSubstr("device fault (DF)"));
    EXPECT_THAT(describe(task, ending(0x50, 0, 0x06)), HasSubstr("PCI bus failed"));
    EXPECT_EQ(describe(transfer(out, true, 0, 256)), "WRITE DMA of 256 sectors at LBA 0");
    EXPECT_EQ(describe(transfer(out, true, 0, 65536)), "WRITE DMA EXT of 65536 sectors at LBA 0");
}

PciIdentity identity(std::uint16_t vendor, std::uint16_t device, std::uint8_t interface,
                     std::uint8_t sub_class = 1) {
    return {.vendor = vendor,
            .device = device,
            .base_class = 1,
            .sub_class = sub_class,
            .programming_interface = interface};
}

TEST(IdeControllers, AreKnownById) {
    EXPECT_EQ(find_controller(identity(0x8086, 0x7010, 0x80))->name, "Intel PIIX3 IDE");
    EXPECT_EQ(find_controller(identity(0x8086, 0x7111, 0x80))->name, "Intel PIIX4 IDE");
    EXPECT_EQ(find_controller(identity(0x1095, 0x3112, 0x00, 0x04))->name, "Silicon Image SiI 3112 SATA");
    EXPECT_EQ(find_controller(identity(0x1234, 0x5678, 0x85))->name, "PCI IDE controller");
    EXPECT_EQ(find_controller(identity(0x1234, 0x5678, 0x01, 6)), nullptr) << "AHCI";
}

TEST(IdeControllers, ProgrammingInterfaceSaysTheMode) {
    const auto generic = identity(0x1234, 0x5678, 0x84);  // the second channel alone is native
    const ControllerQuirks& quirks = *find_controller(generic);
    EXPECT_FALSE(is_native(quirks, generic, 0));
    EXPECT_TRUE(is_native(quirks, generic, 1));
    EXPECT_TRUE(has_bus_master(quirks, generic));
    EXPECT_FALSE(has_bus_master(quirks, identity(0x1234, 0x5678, 0x05)));
    const auto sata = identity(0x1095, 0x3112, 0x00, 0x04);
    EXPECT_TRUE(is_native(*find_controller(sata), sata, 0));
}

}  // namespace
}  // namespace outboard::ide
