// Both sorts of rings, against a device's end that is written here word by word: wrapping, full, event
// indexes, and a device that lies.
#include "outboard/drivers/virtio/packed_ring.hpp"
#include "outboard/drivers/virtio/split_ring.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outboard::virtio {
namespace {

using ::testing::ElementsAre;

constexpr std::uint64_t iova = 0x7000'0000;

/// Memory that the ring and its device share.
class Shared {
  public:
    explicit Shared(std::size_t size) : size_(size) { std::memset(bytes_.get(), 0xee, size); }
    DmaSpan span() const { return {.address = bytes_.get(), .iova = iova, .length = size_}; }
    template <class T>
    T get(std::uint64_t address) const {
        T value{};
        std::memcpy(&value, bytes_.get() + (address - iova), sizeof value);
        return value;
    }
    template <class T>
    void put(std::uint64_t address, T value) {
        std::memcpy(bytes_.get() + (address - iova), &value, sizeof value);
    }

  private:
    std::size_t size_;
    std::unique_ptr<std::byte, decltype(&std::free)> bytes_{
        static_cast<std::byte*>(std::aligned_alloc(4096, (size_ + 4095) / 4096 * 4096)), &std::free};
};

std::vector<Element> elements(unsigned count) {
    std::vector<Element> result;
    for (unsigned i = 0; i < count; ++i)
        result.push_back({.iova = 0x1000 * (i + 1), .length = 16 + i, .device_writes = i + 1 == count});
    return result;
}

/// A buffer as the device finds it.
struct Found {
    std::uint16_t id = 0;     ///< head, or buffer identifier
    std::uint16_t count = 0;  ///< descriptors in the ring
    std::vector<std::uint32_t> lengths{};
    unsigned writable = 0;
};

class SplitDevice {
  public:
    SplitDevice(Shared& memory, const SplitRing& ring)
        : memory_(memory), places_(ring.places()), size_(ring.size()) {}

    std::uint16_t available() const { return memory_.get<std::uint16_t>(places_.driver_area + 2); }
    std::optional<Found> next() {
        if (seen_ == available())
            return std::nullopt;
        Found found{
            .id = memory_.get<std::uint16_t>(places_.driver_area + 4 + std::uint64_t{2} * (seen_ % size_))};
        ++seen_;
        for (std::uint16_t index = found.id;;) {
            const std::uint64_t at = places_.descriptors + std::uint64_t{16} * index;
            const auto flags = memory_.get<std::uint16_t>(at + 12);
            ++found.count;
            found.lengths.push_back(memory_.get<std::uint32_t>(at + 8));
            found.writable += (flags & 2) != 0 ? 1 : 0;
            if ((flags & 1) == 0)
                break;
            index = memory_.get<std::uint16_t>(at + 14);
        }
        return found;
    }
    void use(const Found& found, std::uint32_t length) { use(std::uint32_t{found.id}, length); }
    void use(std::uint32_t id, std::uint32_t length) {
        const std::uint64_t at = places_.device_area + 4 + std::uint64_t{8} * (used_ % size_);
        memory_.put<std::uint32_t>(at, id);
        memory_.put<std::uint32_t>(at + 4, length);
        set_index(++used_);
    }
    void set_index(std::uint16_t index) { memory_.put<std::uint16_t>(places_.device_area + 2, index); }
    void set_flags(std::uint16_t flags) { memory_.put<std::uint16_t>(places_.device_area, flags); }
    void set_event(std::uint16_t index) {
        memory_.put<std::uint16_t>(places_.device_area + 4 + std::uint64_t{8} * size_, index);
    }
    std::uint16_t driver_event() const {
        return memory_.get<std::uint16_t>(places_.driver_area + 4 + std::uint64_t{2} * size_);
    }
    std::uint16_t driver_flags() const { return memory_.get<std::uint16_t>(places_.driver_area); }

  private:
    Shared& memory_;
    RingPlaces places_;
    std::uint16_t size_;
    std::uint16_t seen_ = 0;
    std::uint16_t used_ = 0;
};

class PackedDevice {
  public:
    PackedDevice(Shared& memory, const PackedRing& ring)
        : memory_(memory), places_(ring.places()), size_(ring.size()) {}

    std::optional<Found> next() {
        Found found;
        for (;;) {
            const std::uint64_t at = places_.descriptors + std::uint64_t{16} * (seen_ % size_);
            const bool round = seen_ / size_ % 2 == 0;
            const auto flags = memory_.get<std::uint16_t>(at + 14);
            if (((flags & 0x80) != 0) != round || ((flags & 0x8000) != 0) == round) {
                EXPECT_EQ(found.count, 0) << "a part of a buffer";
                return std::nullopt;
            }
            ++seen_;
            ++found.count;
            found.id = memory_.get<std::uint16_t>(at + 12);
            found.lengths.push_back(memory_.get<std::uint32_t>(at + 8));
            found.writable += (flags & 2) != 0 ? 1 : 0;
            if ((flags & 1) == 0)
                return found;
        }
    }
    void use(const Found& found, std::uint32_t length) {
        use(found.id, length);
        used_ += found.count - 1U;
    }
    void use(std::uint16_t id, std::uint32_t length) {
        const std::uint64_t at = places_.descriptors + std::uint64_t{16} * (used_ % size_);
        const bool round = used_ / size_ % 2 == 0;
        memory_.put<std::uint32_t>(at + 8, length);
        memory_.put<std::uint16_t>(at + 12, id);
        memory_.put<std::uint16_t>(at + 14, round ? 0x8080 : 0);
        ++used_;
    }
    void set_event(std::uint16_t place, bool round, std::uint16_t flags) {
        memory_.put<std::uint16_t>(places_.device_area,
                                   static_cast<std::uint16_t>(place | (round ? 0x8000 : 0)));
        memory_.put<std::uint16_t>(places_.device_area + 2, flags);
    }
    std::uint32_t driver_event() const { return memory_.get<std::uint32_t>(places_.driver_area); }

  private:
    Shared& memory_;
    RingPlaces places_;
    std::uint16_t size_;
    unsigned seen_ = 0;
    unsigned used_ = 0;
};

struct Split {
    using Ring = SplitRing;
    using Device = SplitDevice;
};
struct Packed {
    using Ring = PackedRing;
    using Device = PackedDevice;
};

template <class Kind>
class RingTest : public ::testing::Test {
  protected:
    static constexpr std::uint16_t size = 8;

    Shared memory{Kind::Ring::bytes(size)};
    typename Kind::Ring ring{memory.span(), size, false};
    typename Kind::Device device{memory, ring};
};
using Kinds = ::testing::Types<Split, Packed>;
TYPED_TEST_SUITE(RingTest, Kinds);

TYPED_TEST(RingTest, HandsOverABufferAndTakesItBack) {
    EXPECT_FALSE(this->ring.publish());
    this->ring.add(elements(3), 5);
    EXPECT_EQ(this->ring.room(), 5);
    EXPECT_TRUE(this->ring.publish());
    const auto found = this->device.next();
    ASSERT_TRUE(found);
    EXPECT_THAT(found->lengths, ElementsAre(16, 17, 18));
    EXPECT_EQ(found->writable, 1U);
    EXPECT_FALSE(this->device.next());
    Used used;
    EXPECT_EQ(this->ring.take(used), Taken::nothing);
    this->device.use(*found, 99);
    EXPECT_EQ(this->ring.take(used), Taken::one);
    EXPECT_EQ(used.token, 5);
    EXPECT_EQ(used.length, 99U);
    EXPECT_EQ(this->ring.room(), 8);
    EXPECT_EQ(this->ring.take(used), Taken::nothing);
}

TYPED_TEST(RingTest, WrapsManyTimesInAnyOrder) {
    std::minstd_rand engine(7);
    const auto random = [&engine] { return static_cast<unsigned>(engine() >> 4); };
    std::vector<bool> with_device(8);
    std::deque<Found> held;
    unsigned taken = 0;
    std::vector<std::uint16_t> tokens(8);
    for (unsigned round = 0; round < 70000; ++round) {
        const unsigned count = 1 + random() % 3;
        const std::uint16_t token = static_cast<std::uint16_t>(random() % 8);
        if (this->ring.room() >= count && !with_device[token]) {
            this->ring.add(elements(count), token);
            with_device[token] = true;
            static_cast<void>(this->ring.publish());
        }
        while (const auto found = this->device.next()) {
            ASSERT_EQ(found->lengths.size(), found->count);
            held.push_back(*found);
        }
        if (!held.empty() && random() % 2 == 0) {
            const std::size_t which = random() % held.size();
            this->device.use(held[which], round);
            held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
        }
        Used used;
        Taken result{};
        while ((result = this->ring.take(used)) == Taken::one) {
            ASSERT_TRUE(with_device[used.token]);
            with_device[used.token] = false;
            ++taken;
        }
        ASSERT_EQ(result, Taken::nothing);
    }
    EXPECT_GT(taken, 20000U);
}

TYPED_TEST(RingTest, IsFullWhenItsDescriptorsAreTaken) {
    for (std::uint16_t token = 0; token < 8; ++token) {
        ASSERT_GE(this->ring.room(), 1);
        this->ring.add(elements(1), token);
    }
    EXPECT_EQ(this->ring.room(), 0);
    static_cast<void>(this->ring.publish());
    for (std::uint16_t token = 0; token < 8; ++token) {
        const auto found = this->device.next();
        ASSERT_TRUE(found);
        this->device.use(*found, 0);
    }
    Used used;
    for (std::uint16_t token = 0; token < 8; ++token) {
        ASSERT_EQ(this->ring.take(used), Taken::one);
        EXPECT_EQ(used.token, token);
    }
    EXPECT_EQ(this->ring.room(), 8);
}

TYPED_TEST(RingTest, DescribesABufferByATable) {
    Shared table(4096);
    this->ring.add_indirect(table.span(), elements(20), 3);
    EXPECT_EQ(this->ring.room(), 7);
    static_cast<void>(this->ring.publish());
    const auto found = this->device.next();
    ASSERT_TRUE(found);
    EXPECT_THAT(found->lengths, ElementsAre(20 * 16));
    EXPECT_EQ(table.get<std::uint64_t>(iova + 16 * 19), 0x1000U * 20);
    EXPECT_EQ(table.get<std::uint32_t>(iova + 16 * 19 + 8), 16U + 19);
    this->device.use(*found, 1);
    Used used;
    EXPECT_EQ(this->ring.take(used), Taken::one);
    EXPECT_EQ(used.token, 3);
}

TYPED_TEST(RingTest, BelievesNoBufferThatTheDeviceDoesNotHave) {
    for (const std::uint16_t id : {std::uint16_t{6}, std::uint16_t{8}, std::uint16_t{0xffff}}) {
        this->ring.restart(true);
        typename TypeParam::Device lying(this->memory, this->ring);
        this->ring.add(elements(1), 0);
        static_cast<void>(this->ring.publish());
        ASSERT_TRUE(lying.next());
        lying.use(id, 0);
        Used used;
        EXPECT_EQ(this->ring.take(used), Taken::impossible) << id;
    }
}

TYPED_TEST(RingTest, BelievesNoBufferTwice) {
    this->ring.add(elements(1), 0);
    this->ring.add(elements(1), 1);
    static_cast<void>(this->ring.publish());
    const auto found = this->device.next();
    this->device.use(*found, 0);
    this->device.use(*found, 0);
    Used used;
    EXPECT_EQ(this->ring.take(used), Taken::one);
    EXPECT_EQ(this->ring.take(used), Taken::impossible);
}

TYPED_TEST(RingTest, IsEmptyAfterARestart) {
    this->ring.add(elements(4), 2);
    static_cast<void>(this->ring.publish());
    this->ring.restart(true);
    EXPECT_EQ(this->ring.room(), 8);
    typename TypeParam::Device fresh(this->memory, this->ring);
    EXPECT_FALSE(fresh.next());
    Used used;
    EXPECT_EQ(this->ring.take(used), Taken::nothing);
}

TEST(SplitRing, BelievesNoIndexBeyondWhatTheDeviceHas) {
    Shared memory(SplitRing::bytes(8));
    SplitRing ring(memory.span(), 8, false);
    SplitDevice device(memory, ring);
    ring.add(elements(1), 0);
    static_cast<void>(ring.publish());
    device.set_index(2);
    Used used;
    EXPECT_EQ(ring.take(used), Taken::impossible);
    device.set_index(0xffff);
    EXPECT_EQ(ring.take(used), Taken::impossible);
}

TEST(SplitRing, NotifiesWhenTheDeviceWantsIt) {
    Shared memory(SplitRing::bytes(8));
    SplitRing ring(memory.span(), 8, false);
    SplitDevice device(memory, ring);
    device.set_flags(1);
    ring.add(elements(1), 0);
    EXPECT_FALSE(ring.publish());
    device.set_flags(0);
    EXPECT_FALSE(ring.publish()) << "there is nothing new";
    ring.add(elements(1), 1);
    EXPECT_TRUE(ring.publish());
}

TEST(SplitRing, NotifiesWhenTheEventIsPassed) {
    Shared memory(SplitRing::bytes(8));
    SplitRing ring(memory.span(), 8, true);
    SplitDevice device(memory, ring);
    device.set_event(0);
    ring.add(elements(1), 0);
    EXPECT_TRUE(ring.publish());
    ring.add(elements(1), 1);
    EXPECT_FALSE(ring.publish());
    device.set_event(3);
    ring.add(elements(1), 2);
    EXPECT_FALSE(ring.publish());
    ring.add(elements(1), 3);
    ring.add(elements(1), 4);
    EXPECT_TRUE(ring.publish());
}

TEST(SplitRing, AsksForTheNextInterrupt) {
    Shared memory(SplitRing::bytes(8));
    SplitRing ring(memory.span(), 8, true);
    SplitDevice device(memory, ring);
    EXPECT_EQ(device.driver_event(), 0) << "the first one comes unasked";
    ring.add(elements(1), 0);
    static_cast<void>(ring.publish());
    device.use(*device.next(), 0);
    Used used;
    EXPECT_EQ(ring.take(used), Taken::one);
    EXPECT_FALSE(ring.arm());
    EXPECT_EQ(device.driver_event(), 1);
    EXPECT_FALSE(ring.arm());
    ring.add(elements(1), 0);
    ring.add(elements(1), 1);
    static_cast<void>(ring.publish());
    device.use(*device.next(), 0);
    EXPECT_EQ(ring.take(used), Taken::one);
    device.use(*device.next(), 0);
    EXPECT_TRUE(ring.arm()) << "one was used before it was asked";
}

TEST(SplitRing, AsksForNoInterruptsWhereItIsPolled) {
    Shared memory(SplitRing::bytes(8));
    SplitRing flags(memory.span(), 8, false);
    flags.restart(false);
    EXPECT_EQ(SplitDevice(memory, flags).driver_flags(), 1);
    SplitRing events(memory.span(), 8, true);
    events.restart(false);
    EXPECT_EQ(SplitDevice(memory, events).driver_flags(), 0);
    EXPECT_EQ(SplitDevice(memory, events).driver_event(), 0xffff);
}

TEST(PackedRing, NotifiesWhenTheDeviceWantsIt) {
    Shared memory(PackedRing::bytes(4));
    PackedRing ring(memory.span(), 4, true);
    PackedDevice device(memory, ring);
    device.set_event(0, true, 1);
    ring.add(elements(1), 0);
    EXPECT_FALSE(ring.publish());
    device.set_event(0, true, 0);
    ring.add(elements(1), 1);
    EXPECT_TRUE(ring.publish());
    // The fourth descriptor of this round, and then the first of the next one.
    device.set_event(3, true, 2);
    ring.add(elements(1), 2);
    EXPECT_FALSE(ring.publish());
    ring.add(elements(1), 3);
    EXPECT_TRUE(ring.publish());
    Used used;
    for (int i = 0; i < 4; ++i) {
        device.use(*device.next(), 0);
        EXPECT_EQ(ring.take(used), Taken::one);
    }
    device.set_event(1, false, 2);
    ring.add(elements(1), 0);
    EXPECT_FALSE(ring.publish());
    ring.add(elements(2), 1);
    EXPECT_TRUE(ring.publish());
}

TEST(PackedRing, AsksForTheNextInterrupt) {
    Shared memory(PackedRing::bytes(4));
    PackedRing ring(memory.span(), 4, true);
    PackedDevice device(memory, ring);
    constexpr std::uint32_t at_place = 2U << 16;
    constexpr std::uint32_t first_round = 0x8000;
    EXPECT_EQ(device.driver_event(), at_place | first_round);
    Used used;
    for (std::uint16_t i = 1; i <= 4; ++i) {
        ring.add(elements(1), 0);
        static_cast<void>(ring.publish());
        device.use(*device.next(), 0);
        EXPECT_EQ(ring.take(used), Taken::one);
        EXPECT_FALSE(ring.arm());
        EXPECT_EQ(device.driver_event(), i == 4 ? at_place : at_place | first_round | i);
    }
    ring.restart(false);
    EXPECT_EQ(device.driver_event(), 1U << 16);
}

TEST(EventIndex, IsPassedModulo65536) {
    EXPECT_TRUE(passed(5, 5, 6));
    EXPECT_FALSE(passed(6, 5, 6));
    EXPECT_FALSE(passed(4, 5, 6));
    EXPECT_TRUE(passed(0xffff, 0xfffe, 2));
    EXPECT_TRUE(passed(1, 0xfffe, 2));
    EXPECT_FALSE(passed(2, 0xfffe, 2));
    EXPECT_FALSE(passed(7, 3, 3));
}

}  // namespace
}  // namespace outboard::virtio
