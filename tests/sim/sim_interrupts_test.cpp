#include "outboard/sim/interrupts.hpp"
#include "outboard/sim/msix_table.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outboard::sim {
namespace {

PciDescription device() {
    PciDescription description{.name = "test", .vendor = 1, .device = 2};
    description.bars[0] = {.kind = BarKind::memory32, .size = 4096};
    description.interrupt_line = true;
    description.msi_vectors = 4;
    description.msix = {.vectors = 40, .table_offset = 0x100, .pending_offset = 0x800};
    return description;
}

class SimInterrupts : public testing::Test {
  protected:
    void command(std::uint16_t value) {
        config.write(4, std::as_bytes(std::span(&value, 1)));
        interrupts.update();
    }
    static constexpr std::uint16_t bus_master = 4;
    static constexpr std::uint16_t line_disable = 1 << 10;

    /// Connects a new eventfd, of which the test keeps another descriptor.
    Fd connect(IrqKind kind, unsigned vector, Interrupts::Event event = Interrupts::Event::trigger) {
        Fd mine(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        std::array theirs{Fd(::dup(mine.get()))};
        interrupts.connect(kind, event, vector, theirs);
        return mine;
    }
    /// How often it fired since it was asked last.
    static std::uint64_t fired(const Fd& eventfd) {
        std::uint64_t count = 0;
        return ::read(eventfd.get(), &count, sizeof count) == sizeof count ? count : 0;
    }

    PciDescription description = device();
    ConfigSpaceModel config{description};
    FaultInjector faults;
    Timers timers;
    Interrupts interrupts{config, description, faults, timers};
    MsixTable table{interrupts, description.msix};
};

// ---- the line ----

TEST_F(SimInterrupts, ALineFiresOnceAndIsMaskedUntilTheClientUnmasks) {
    const Fd line = connect(IrqKind::intx, 0);
    interrupts.set_line(true);
    EXPECT_EQ(fired(line), 1U);
    EXPECT_TRUE(interrupts.masked(IrqKind::intx, 0));
    interrupts.set_line(false);
    interrupts.set_line(true);
    EXPECT_EQ(fired(line), 0U);
    interrupts.set_masked(IrqKind::intx, 0, false);
    EXPECT_EQ(fired(line), 1U) << "it is still high";
    interrupts.set_line(false);
    interrupts.set_masked(IrqKind::intx, 0, false);
    EXPECT_EQ(fired(line), 0U);
    EXPECT_EQ(interrupts.counts().delivered, 2U);
}

TEST_F(SimInterrupts, ALineThatIsHighFiresWhenItIsConnected) {
    interrupts.set_line(true);
    EXPECT_EQ(fired(connect(IrqKind::intx, 0)), 1U);
}

TEST_F(SimInterrupts, ALineNeedsNoBusMasteringButCanBeDisabled) {
    const Fd line = connect(IrqKind::intx, 0);
    command(line_disable);
    interrupts.set_line(true);
    EXPECT_EQ(fired(line), 0U);
    EXPECT_EQ(config.get(6, 2) & 8, 8U) << "the status bit shows it all the same";
    command(0);
    EXPECT_EQ(fired(line), 1U);
}

TEST_F(SimInterrupts, WhileMessagesAreEnabledTheLineIsSilent) {
    const Fd line = connect(IrqKind::intx, 0);
    config.enable_msi(1);
    interrupts.set_line(true);
    EXPECT_EQ(fired(line), 0U);
    config.disable_msi();
    interrupts.update();
    EXPECT_EQ(fired(line), 1U);
}

// ---- messages ----

TEST_F(SimInterrupts, ConnectingMessagesEnablesThem) {
    command(bus_master);
    const Fd one = connect(IrqKind::msi, 0);
    EXPECT_TRUE(config.msi_enabled());
    interrupts.notify();
    interrupts.notify();
    EXPECT_EQ(fired(one), 2U);
    const Fd other = connect(IrqKind::msix, 3);
    EXPECT_TRUE(config.msix_enabled());
    EXPECT_FALSE(config.msi_enabled());
    interrupts.notify(3);
    EXPECT_EQ(fired(one), 0U);
    EXPECT_EQ(fired(other), 1U);
    interrupts.disable(IrqKind::msix);
    EXPECT_FALSE(interrupts.messages_enabled());
    interrupts.notify(3);
    EXPECT_EQ(fired(other), 0U);
}

TEST_F(SimInterrupts, MessagesNeedBusMastering) {
    const Fd vector = connect(IrqKind::msi, 0);
    interrupts.notify();
    EXPECT_EQ(fired(vector), 0U);
    EXPECT_EQ(interrupts.counts().lost, 1U);
    command(bus_master);
    EXPECT_EQ(fired(vector), 0U) << "it was lost, not kept";
    interrupts.notify();
    EXPECT_EQ(fired(vector), 1U);
}

TEST_F(SimInterrupts, FewerMessagesThanWantedAreShared) {
    command(bus_master);
    const Fd zero = connect(IrqKind::msi, 0);
    const Fd one = connect(IrqKind::msi, 1);
    EXPECT_EQ(config.msi_vectors(), 2U);
    interrupts.notify(3);
    EXPECT_EQ(fired(zero), 0U);
    EXPECT_EQ(fired(one), 1U);
}

TEST_F(SimInterrupts, VectorsThatDoNotExistAreLost) {
    command(bus_master);
    const Fd vector = connect(IrqKind::msix, 0);
    interrupts.notify(40);
    interrupts.notify(~0U);
    EXPECT_EQ(interrupts.counts().lost, 2U);
    EXPECT_EQ(fired(vector), 0U);
    interrupts.notify(1);
    EXPECT_TRUE(interrupts.pending(IrqKind::msix, 1)) << "it exists, and is masked until it is connected";
}

TEST_F(SimInterrupts, AMaskedMessageIsPendingAndGoesOnceWhenUnmasked) {
    command(bus_master);
    const Fd vector = connect(IrqKind::msix, 33);
    interrupts.set_masked(IrqKind::msix, 33, true);
    interrupts.notify(33);
    interrupts.notify(33);
    EXPECT_EQ(fired(vector), 0U);
    EXPECT_TRUE(interrupts.pending(IrqKind::msix, 33));
    interrupts.set_masked(IrqKind::msix, 33, false);
    EXPECT_EQ(fired(vector), 1U);
    EXPECT_FALSE(interrupts.pending(IrqKind::msix, 33));
}

TEST_F(SimInterrupts, TheFunctionMaskHoldsAllBack) {
    command(bus_master);
    const Fd vector = connect(IrqKind::msix, 1);
    const std::uint16_t masked = 0xc000;
    const std::uint16_t enabled = 0x8000;
    const std::size_t control = config.get(0x41, 1) + 2;  // MSI lies at 0x40, MSI-X follows
    config.write(control, std::as_bytes(std::span(&masked, 1)));
    interrupts.notify(1);
    EXPECT_EQ(fired(vector), 0U);
    config.write(control, std::as_bytes(std::span(&enabled, 1)));
    interrupts.update();
    EXPECT_EQ(fired(vector), 1U);
}

TEST_F(SimInterrupts, AResetLeavesTheWiringAndForgetsTheRest) {
    command(bus_master);
    const Fd vector = connect(IrqKind::msix, 0);
    interrupts.set_masked(IrqKind::msix, 0, true);
    interrupts.notify(0);
    interrupts.set_line(true);
    interrupts.reset();
    interrupts.set_masked(IrqKind::msix, 0, false);
    EXPECT_EQ(fired(vector), 0U);
    EXPECT_FALSE(interrupts.line());
    interrupts.notify(0);
    EXPECT_EQ(fired(vector), 1U);
}

// ---- wiring ----

TEST_F(SimInterrupts, MasksCanBeWatched) {
    const Fd masked = connect(IrqKind::intx, 0, Interrupts::Event::mask);
    const Fd unmasked = connect(IrqKind::intx, 0, Interrupts::Event::unmask);
    const Fd line = connect(IrqKind::intx, 0);
    interrupts.set_line(true);
    EXPECT_EQ(fired(masked), 1U);
    interrupts.set_line(false);
    interrupts.set_masked(IrqKind::intx, 0, false);
    EXPECT_EQ(fired(unmasked), 1U);
    interrupts.set_masked(IrqKind::intx, 0, false);
    EXPECT_EQ(fired(unmasked), 0U) << "nothing changed";
}

TEST_F(SimInterrupts, AClientFiresItsOwnWiring) {
    const Fd vector = connect(IrqKind::msix, 2);
    interrupts.fire(IrqKind::msix, 2);
    EXPECT_EQ(fired(vector), 1U);
}

TEST_F(SimInterrupts, WhatIsDisconnectedDoesNotFire) {
    command(bus_master);
    const Fd zero = connect(IrqKind::msix, 0);
    const Fd one = connect(IrqKind::msix, 1);
    interrupts.disconnect(IrqKind::msix, Interrupts::Event::trigger, 0, 1);
    interrupts.notify(0);
    interrupts.notify(1);
    EXPECT_EQ(fired(zero), 0U);
    EXPECT_EQ(fired(one), 1U);
    interrupts.drop_eventfds();
    interrupts.notify(1);
    EXPECT_EQ(fired(one), 0U);
}

TEST_F(SimInterrupts, AFullCounterDoesNotStopTheDevice) {
    command(bus_master);
    const Fd mine(::eventfd(0, EFD_CLOEXEC));  // blocking
    std::array theirs{Fd(::dup(mine.get()))};
    interrupts.connect(IrqKind::msi, Interrupts::Event::trigger, 0, theirs);
    const std::uint64_t full = std::numeric_limits<std::uint64_t>::max() - 1;
    ASSERT_EQ(::write(mine.get(), &full, sizeof full), 8);
    interrupts.notify();
    EXPECT_EQ(interrupts.counts().lost, 1U);
}

// ---- the MSI-X table ----

TEST_F(SimInterrupts, VectorsStartMaskedInTheTable) {
    EXPECT_EQ(table.read(0, 0x10c, 4), 1U);
    const Fd vector = connect(IrqKind::msix, 0);
    EXPECT_EQ(table.read(0, 0x10c, 4), 0U) << "connecting unmasks it";
    EXPECT_EQ(table.read(0, 0x11c, 4), 1U);
}

TEST_F(SimInterrupts, TheTableKeepsAddressAndData) {
    table.write(0, 0x110, 8, 0x11223344fee00000);
    table.write(0, 0x118, 4, 0x4041);
    EXPECT_EQ(table.read(0, 0x110, 4), 0xfee00000U);
    EXPECT_EQ(table.read(0, 0x114, 4), 0x11223344U);
    EXPECT_EQ(table.read(0, 0x118, 8), std::uint64_t{1} << 32 | 0x4041);
    table.write(0, 0x110, 2, 0xffff);
    EXPECT_EQ(table.read(0, 0x110, 4), 0xfee00000U) << "accesses have 4 or 8 bytes";
}

TEST_F(SimInterrupts, TheTableMasksAndShowsWhatIsPending) {
    command(bus_master);
    const Fd vector = connect(IrqKind::msix, 33);
    table.write(0, 0x100 + 33 * 16 + 12, 4, 0xffffffff);
    EXPECT_EQ(table.read(0, 0x100 + 33 * 16 + 12, 4), 1U);
    interrupts.notify(33);
    EXPECT_EQ(table.read(0, 0x800, 8), std::uint64_t{1} << 33);
    EXPECT_EQ(table.read(0, 0x804, 4), 2U);
    table.write(0, 0x800, 8, 0);
    EXPECT_EQ(table.read(0, 0x804, 4), 2U) << "pending bits are read-only";
    table.write(0, 0x100 + 33 * 16 + 12, 4, 0);
    EXPECT_EQ(fired(vector), 1U);
    EXPECT_EQ(table.read(0, 0x800, 8), 0U);
}

TEST_F(SimInterrupts, TheTableKnowsItsPlace) {
    EXPECT_TRUE(table.owns(0, 0x100, 1));
    EXPECT_TRUE(table.owns(0, 0x37c, 4));
    EXPECT_TRUE(table.owns(0, 0x0f8, 16));
    EXPECT_TRUE(table.owns(0, 0x800, 8));
    EXPECT_FALSE(table.owns(0, 0x0f8, 8));
    EXPECT_FALSE(table.owns(0, 0x380, 4));
    EXPECT_FALSE(table.owns(0, 0x808, 8));
    EXPECT_FALSE(table.owns(1, 0x100, 4));
}

}  // namespace
}  // namespace outboard::sim
