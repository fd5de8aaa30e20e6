// The region through which a client orders faults.
#include "outboard/sim/fault_port.hpp"

#include "outboard/base/bytes.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <gtest/gtest.h>

namespace outboard::sim {
namespace {

class FaultPortTest : public testing::Test {
  protected:
    FaultPortTest() { port.offer(kinds); }

    FaultPortLayout all() const {
        FaultPortLayout layout;
        port.read(0, std::as_writable_bytes(std::span(&layout, 1)));
        return layout;
    }
    bool write(std::uint64_t offset, FaultKind kind) {
        return port.write(offset, bytes_of(static_cast<std::uint32_t>(kind)));
    }

    static constexpr std::array kinds{FaultKind::interrupt_drop, FaultKind::reset_failure};
    static constexpr std::uint64_t order = offsetof(FaultPortLayout, order);
    static constexpr std::uint64_t take_back = offsetof(FaultPortLayout, take_back);
    FaultInjector faults;
    FaultPort port{faults};
};

TEST_F(FaultPortTest, IsNotThereWhenNothingIsOffered) {
    EXPECT_EQ(FaultPort(faults).size(), 0U);
    EXPECT_EQ(port.size(), sizeof(FaultPortLayout));
}

TEST_F(FaultPortTest, SaysWhatItIsAndWhatCanBeOrdered) {
    EXPECT_EQ(all().signature, fault_port_signature);
    EXPECT_EQ(all().possible, 1U | 1U << 18);
}

TEST_F(FaultPortTest, OrdersAFaultWhichStrikesOnce) {
    EXPECT_TRUE(write(order, FaultKind::interrupt_drop));
    EXPECT_TRUE(faults.strike(FaultKind::interrupt_drop));
    EXPECT_FALSE(faults.strike(FaultKind::interrupt_drop));
    EXPECT_EQ(all().struck[0], 1U);
    EXPECT_EQ(all().struck[18], 0U);
}

TEST_F(FaultPortTest, TakesAnOrderBack) {
    EXPECT_TRUE(write(order, FaultKind::reset_failure));
    EXPECT_TRUE(write(take_back, FaultKind::reset_failure));
    EXPECT_EQ(all().take_back, 1U);
    EXPECT_FALSE(faults.strike(FaultKind::reset_failure));
    EXPECT_TRUE(write(take_back, FaultKind::reset_failure));
    EXPECT_EQ(all().take_back, 0U);
}

TEST_F(FaultPortTest, RefusesWhatIsNoOrder) {
    EXPECT_FALSE(write(order, FaultKind::wrong_phase));
    EXPECT_FALSE(write(order, FaultKind{19}));
    EXPECT_FALSE(write(order, FaultKind{255}));
    EXPECT_FALSE(write(0, FaultKind::interrupt_drop));
    EXPECT_FALSE(write(order + 1, FaultKind::interrupt_drop));
    EXPECT_FALSE(port.write(order, bytes_of(std::uint64_t{0})));
    EXPECT_FALSE(faults.may_strike());
}

TEST_F(FaultPortTest, IsReadInPieces) {
    const FaultPortLayout whole = all();
    for (std::size_t i = 0; i < sizeof whole; ++i) {
        std::byte one{};
        port.read(i, std::span(&one, 1));
        EXPECT_EQ(one, bytes_of(whole)[i]);
    }
}

}  // namespace
}  // namespace outboard::sim
