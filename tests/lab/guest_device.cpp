// Devices that QEMU emulates, reached through VFIO: run in a guest of `outboard lab --device ide --device edu
// --device nvme --device e1000e`.
#include "outboard/backend/pci/iommu_faults.hpp"
#include "outboard/device/device.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "tests/lab/guest.hpp"
#include <gtest/gtest.h>
#include <sys/mman.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using test::Borrowed;
using test::events_within;
using test::holds_within;

constexpr auto soon = 3000ms;   // longer than anything here takes on a busy machine
constexpr auto moment = 150ms;  // long enough for an interrupt that should not come

// ---- edu (QEMU docs/specs/edu.rst) ----

struct Identification : Register<Identification, std::uint32_t, 0x00, Access::read_only> {};
struct Liveness : Register<Liveness, std::uint32_t, 0x04, Access::read_write> {};
struct Factorial : Register<Factorial, std::uint32_t, 0x08, Access::read_write> {};
struct Status : Register<Status, std::uint32_t, 0x20, Access::read_write> {
    static constexpr Bit<Status, 7> interrupt_when_done{};
};
struct InterruptStatus : Register<InterruptStatus, std::uint32_t, 0x24, Access::read_only> {};
struct InterruptRaise : Register<InterruptRaise, std::uint32_t, 0x60, Access::write_only> {};
struct InterruptAcknowledge : Register<InterruptAcknowledge, std::uint32_t, 0x64, Access::write_only> {};
struct DmaSource : Register<DmaSource, std::uint64_t, 0x80, Access::read_write> {};
struct DmaDestination : Register<DmaDestination, std::uint64_t, 0x88, Access::read_write> {};
struct DmaCount : Register<DmaCount, std::uint64_t, 0x90, Access::read_write> {};
struct DmaCommand : Register<DmaCommand, std::uint64_t, 0x98, Access::read_write> {
    static constexpr Bit<DmaCommand, 0> run{};
    static constexpr Bit<DmaCommand, 1> to_memory{};
};

constexpr std::uint64_t edu_buffer = 0x40000;  // 4 KiB inside the device
constexpr std::size_t size = 2048;

class Edu : public ::testing::Test {
  protected:
    Edu()
        : borrowed(test::edu_name),
          device(borrowed.open()),
          registers(device->region(RegionIndex::bar0).block<4096>()) {}

    /// Copies between memory and the device's buffer, and waits for the end.
    void copy(std::uint64_t iova, bool to_memory) {
        registers.write(Value<DmaSource>(to_memory ? edu_buffer : iova));
        registers.write(Value<DmaDestination>(to_memory ? iova : edu_buffer));
        registers.write(Value<DmaCount>(size));
        const auto run = Value<DmaCommand>().with(DmaCommand::run);
        registers.write(to_memory ? run.with(DmaCommand::to_memory) : run);
        ASSERT_TRUE(holds_within(soon, [&] { return !registers.read<DmaCommand>()[DmaCommand::run]; }));
    }
    /// An arena that edu, which can address 28 bits, reaches.
    DmaArena& arena() { return device->create_arena({.size = std::size_t{64} * 1024, .address_bits = 28}); }

    Borrowed borrowed;
    std::unique_ptr<Device> device;
    RegisterBlock<4096> registers;
};

TEST_F(Edu, ItsRegistersAreMapped) {
    EXPECT_EQ(device->config().identity().vendor, 0x1234);
    EXPECT_EQ(device->config().identity().device, 0x11e8);
    EXPECT_TRUE(device->region(RegionIndex::bar0).mapped());
    EXPECT_EQ(device->region(RegionIndex::bar0).size(), 1024U * 1024);
    EXPECT_FALSE(device->has_region(RegionIndex::bar1));
    EXPECT_EQ(registers.read<Identification>().raw() & 0xff, 0xedU);
    registers.write(Value<Liveness>(0x12345678));
    EXPECT_EQ(registers.read<Liveness>().raw(), ~0x12345678U);
}

TEST_F(Edu, ComputesAndSaysSoByMsi) {
    EXPECT_GE(device->interrupt_count(InterruptKind::msi), 1U);
    const auto interrupts = device->enable_interrupts(InterruptKind::msi);
    device->set_bus_master(true);
    registers.write(Value<Status>().with(Status::interrupt_when_done));
    registers.write(Value<Factorial>(12));
    EXPECT_EQ(events_within(soon, interrupts[0]), 1U);
    EXPECT_EQ(registers.read<InterruptStatus>().raw(), 1U);
    registers.write(Value<InterruptAcknowledge>(1));
    EXPECT_EQ(registers.read<Factorial>().raw(), 479001600U);
    EXPECT_EQ(events_within(moment, interrupts[0]), 0U);
}

TEST_F(Edu, EveryMsiIsAnEvent) {
    const auto interrupts = device->enable_interrupts(InterruptKind::msi);
    device->set_bus_master(true);
    for (int i = 0; i < 1000; ++i) {
        registers.write(Value<InterruptRaise>(2));
        ASSERT_EQ(events_within(soon, interrupts[0]), 1U) << "interrupt " << i;
        registers.write(Value<InterruptAcknowledge>(2));
    }
}

TEST_F(Edu, IntxIsMaskedUntilItWasServed) {
    ASSERT_EQ(device->interrupt_count(InterruptKind::intx), 1U);
    auto interrupts = device->enable_interrupts(InterruptKind::intx);
    registers.write(Value<InterruptRaise>(1));
    EXPECT_EQ(events_within(soon, interrupts[0]), 1U);
    EXPECT_EQ(events_within(moment, interrupts[0]), 0U) << "the kernel has masked the line";
    EXPECT_EQ(interrupts[0].unmask(), 0);
    EXPECT_EQ(events_within(soon, interrupts[0]), 1U) << "the line is asserted still";
    registers.write(Value<InterruptAcknowledge>(1));
    EXPECT_EQ(interrupts[0].unmask(), 0);
    EXPECT_EQ(events_within(moment, interrupts[0]), 0U) << "it was served";
    registers.write(Value<InterruptRaise>(1));
    EXPECT_EQ(events_within(soon, interrupts[0]), 1U) << "and comes again";
    registers.write(Value<InterruptAcknowledge>(1));
}

TEST_F(Edu, EveryIntxIsAnEvent) {
    auto interrupts = device->enable_interrupts(InterruptKind::intx);
    for (int i = 0; i < 1000; ++i) {
        registers.write(Value<InterruptRaise>(4));
        ASSERT_EQ(events_within(soon, interrupts[0]), 1U) << "interrupt " << i;
        registers.write(Value<InterruptAcknowledge>(4));
        ASSERT_EQ(interrupts[0].unmask(), 0);
    }
    EXPECT_EQ(events_within(moment, interrupts[0]), 0U);
}

TEST_F(Edu, KindsOfInterruptsCanBeChanged) {
    device->set_bus_master(true);
    for (const InterruptKind kind : {InterruptKind::msi, InterruptKind::intx, InterruptKind::msi}) {
        auto interrupts = device->enable_interrupts(kind);
        registers.write(Value<InterruptRaise>(1));
        EXPECT_EQ(events_within(soon, interrupts[0]), 1U);
        registers.write(Value<InterruptAcknowledge>(1));
        device->disable_interrupts(kind);
    }
}

TEST_F(Edu, ADriverThatPollsGetsNoInterrupt) {
    device->poll_only();
    EXPECT_NE(device->config().read16(4) & 1 << 10, 0);
    constexpr std::uint16_t pending = 1 << 3;  // interrupt status, PCI 3.0, 6.2.3
    registers.write(Value<InterruptRaise>(1));
    EXPECT_NE(device->config().read16(6) & pending, 0) << "the device asks for one";
    registers.write(Value<InterruptAcknowledge>(1));
    EXPECT_EQ(device->config().read16(6) & pending, 0);
}

TEST_F(Edu, CopiesWithinTheArena) {
    const DmaBuffer from = arena().allocate(size);
    const DmaBuffer to = device->arena().allocate(size);
    EXPECT_LT(from.iova(), std::uint64_t{1} << 28);
    for (std::size_t i = 0; i < size; ++i)
        from.address()[i] = static_cast<std::byte>(i * 7);
    device->set_bus_master(true);
    copy(from.iova(), false);
    copy(to.iova(), true);
    EXPECT_TRUE(std::ranges::equal(from.span().bytes(), to.span().bytes()));
}

TEST_F(Edu, WithoutBusMasteringNothingIsWritten) {
    const DmaBuffer to = arena().allocate(size);
    std::memset(to.address(), 0x5a, size);
    device->set_bus_master(false);
    copy(to.iova(), true);
    EXPECT_TRUE(std::ranges::all_of(to.span().bytes(), [](std::byte b) { return b == std::byte{0x5a}; }));
}

TEST_F(Edu, ForeignMemoryIsReachableWhileItIsRegistered) {
    void* pages = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(pages, MAP_FAILED);
    const std::span memory(static_cast<std::byte*>(pages), 4096);
    const DmaBuffer from = arena().allocate(size);
    std::memset(from.address(), 0x11, size);
    device->set_bus_master(true);
    copy(from.iova(), false);
    std::uint64_t iova = 0;
    {
        const DmaBuffer foreign = device->arena().register_memory(memory);
        iova = foreign.iova();
        copy(iova, true);
        EXPECT_EQ(memory[0], std::byte{0x11});
        EXPECT_EQ(memory[size - 1], std::byte{0x11});
    }
    std::memset(memory.data(), 0x22, memory.size());
    copy(iova, true);
    EXPECT_TRUE(std::ranges::all_of(memory, [](std::byte b) { return b == std::byte{0x22}; }))
        << "written to later";
    ::munmap(pages, 4096);
}

TEST_F(Edu, ReadOnlyMemoryIsNotWritten) {
    void* pages = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(pages, MAP_FAILED);
    const std::span memory(static_cast<std::byte*>(pages), 4096);
    std::memset(memory.data(), 0x33, memory.size());
    arena();
    {
        const DmaBuffer foreign = device->arena().register_memory(memory, DmaAccess::read);
        device->set_bus_master(true);
        copy(foreign.iova(), true);
    }
    EXPECT_TRUE(std::ranges::all_of(memory, [](std::byte b) { return b == std::byte{0x33}; }));
    ::munmap(pages, 4096);
}

TEST_F(Edu, DmaToUnmappedMemoryIsBlockedAndSeen) {
    const DmaSpan& all = arena().span();
    std::memset(all.address, 0x44, all.length);
    device->set_bus_master(true);
    const std::uint64_t outside = all.iova + all.length;
    const PciAddress address = PciAddress::parse(test::edu_name);
    // The kernel tells of a few faults within five seconds, and earlier tests have made some.
    std::this_thread::sleep_for(5s);
    for (const bool to_memory : {true, false}) {
        IommuFaultWatch watch;
        copy(outside, to_memory);
        std::vector<IommuFault> faults;
        ASSERT_TRUE(holds_within(soon, [&] { return !(faults = watch.take(address)).empty(); }));
        EXPECT_EQ(faults[0].write, to_memory);
        EXPECT_EQ(faults[0].iova & ~std::uint64_t{0xfff}, outside);
        EXPECT_NE(faults[0].reason, "");
    }
    EXPECT_TRUE(std::ranges::all_of(all.bytes(), [](std::byte b) { return b == std::byte{0x44}; }));
}

TEST_F(Edu, TheMsiWindowIsNoDmaMemory) {
    const auto ranges = device->backend().iova_ranges();
    ASSERT_FALSE(ranges.empty());
    for (const IovaRange& range : ranges)
        EXPECT_TRUE(range.last < 0xfee00000 || range.first > 0xfeefffff);
    EXPECT_EQ(device->backend().dma_page_size(), 4096U);
}

TEST_F(Edu, MappingTheSamePlaceTwiceIsRefused) {
    const DmaSpan& all = arena().span();
    try {
        device->backend().map_dma({.iova = all.iova, .memory = all.bytes()});
        FAIL() << "mapped twice";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("File exists (EEXIST)"), std::string::npos) << error.what();
    }
}

// ---- nvme: memory BAR, MSI-X, function-level reset ----

TEST(Nvme, IsReachedAndReset) {
    const Borrowed borrowed(test::nvme_name);
    const auto device = borrowed.open();
    EXPECT_EQ(device->config().identity().base_class, 0x01);
    EXPECT_EQ(device->config().identity().sub_class, 0x08);
    EXPECT_TRUE(device->config().find(CapabilityId::msix));
    EXPECT_TRUE(device->config().find(CapabilityId::pci_express));
    const Region region = device->region(RegionIndex::bar0);
    EXPECT_TRUE(region.mapped()) << "the MSI-X table does not keep the region from being mapped";
    EXPECT_EQ(region.load<std::uint32_t>(0x08) >> 16, 1U) << "major version, NVMe base 3.1.3.2";
    // Controller configuration (3.1.3.5): I/O queue entry sizes can be written and do not survive a reset.
    region.store<std::uint32_t>(0x14, 0x00460000);
    EXPECT_EQ(region.load<std::uint32_t>(0x14), 0x00460000U);
    ASSERT_TRUE(device->resettable());
    device->reset();
    EXPECT_EQ(region.load<std::uint32_t>(0x14), 0U);
}

TEST(Nvme, HasManyVectors) {
    const Borrowed borrowed(test::nvme_name);
    const auto device = borrowed.open();
    const unsigned count = device->interrupt_count(InterruptKind::msix);
    EXPECT_GT(count, 2U);
    EXPECT_EQ(device->enable_interrupts(InterruptKind::msix, 3).size(), 3U);
    device->disable_interrupts(InterruptKind::msix);
    EXPECT_EQ(device->enable_interrupts(InterruptKind::msix, 1).size(), 1U);
    EXPECT_THROW((void)device->enable_interrupts(InterruptKind::msix, count + 1), Error);
}

// ---- e1000e (Intel 82574 datasheet, 10.2.4): an interrupt can be raised by software ----

struct InterruptSet : Register<InterruptSet, std::uint32_t, 0xc8, Access::write_only> {};
struct InterruptMaskSet : Register<InterruptMaskSet, std::uint32_t, 0xd0, Access::read_write> {};
struct InterruptVectors : Register<InterruptVectors, std::uint32_t, 0xe4, Access::read_write> {};

constexpr std::uint32_t link_change = 1U << 2;
constexpr std::uint32_t other_cause = 1U << 24;

TEST(E1000e, AVectorOfItsChoiceFiresByMsix) {
    const Borrowed borrowed(test::e1000e_name);
    const auto device = borrowed.open();
    const auto registers = device->region(RegionIndex::bar0).block<4096>();
    const auto interrupts = device->enable_interrupts(InterruptKind::msix, 3);
    device->set_bus_master(true);
    registers.write(Value<InterruptVectors>(0x9U << 16));  // other causes: vector 1, valid
    registers.write(Value<InterruptMaskSet>(link_change | other_cause));
    registers.write(Value<InterruptSet>(link_change));
    EXPECT_GE(events_within(soon, interrupts[1]), 1U);
    EXPECT_EQ(events_within(moment, interrupts[0]), 0U);
    EXPECT_EQ(events_within(moment, interrupts[2]), 0U);
}

TEST(E1000e, FiresByMsi) {
    const Borrowed borrowed(test::e1000e_name);
    const auto device = borrowed.open();
    const auto registers = device->region(RegionIndex::bar0).block<4096>();
    const auto interrupts = device->enable_interrupts(InterruptKind::msi);
    device->set_bus_master(true);
    registers.write(Value<InterruptMaskSet>(link_change));
    registers.write(Value<InterruptSet>(link_change));
    EXPECT_GE(events_within(soon, interrupts[0]), 1U);
}

TEST(E1000e, ItsPortRangeShowsTheSameRegisters) {
    const Borrowed borrowed(test::e1000e_name);
    const auto device = borrowed.open();
    const Region memory = device->region(RegionIndex::bar0);
    const Region ports = device->region(RegionIndex::bar2);
    EXPECT_TRUE(memory.mapped());
    EXPECT_FALSE(ports.mapped());
    constexpr std::uint32_t device_status = 0x08;
    ports.store<std::uint32_t>(0, device_status);  // IOADDR, then IODATA
    EXPECT_EQ(ports.load<std::uint32_t>(4), memory.load<std::uint32_t>(device_status));
}

// ---- piix3-ide in compatibility mode: ports only, no interrupt ----

TEST(Ide, IsReachedByPorts) {
    const Borrowed borrowed(test::ide_name);
    const auto device = borrowed.open();
    for (const RegionIndex index :
         {RegionIndex::bar0, RegionIndex::bar1, RegionIndex::bar2, RegionIndex::bar3, RegionIndex::bar4})
        EXPECT_FALSE(device->region(index).mapped());
    EXPECT_EQ(device->interrupt_count(InterruptKind::intx), 0U);
    EXPECT_EQ(device->interrupt_count(InterruptKind::msi), 0U);
    const Region task_file = device->region(RegionIndex::bar0);
    EXPECT_EQ(task_file.size(), 8U);
    constexpr std::uint8_t ready = 0x40;  // ATA/ATAPI-6, 7.15: DRDY
    EXPECT_NE(task_file.load<std::uint8_t>(7) & ready, 0);
    // Sector count and LBA low can be written and read back: the accesses arrive, each at its own place.
    task_file.store<std::uint8_t>(2, 0x12);
    task_file.store<std::uint8_t>(3, 0x34);
    EXPECT_EQ(task_file.load<std::uint8_t>(2), 0x12);
    EXPECT_EQ(task_file.load<std::uint8_t>(3), 0x34);
}

}  // namespace
}  // namespace outboard
