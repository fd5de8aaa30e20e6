#include "outboard/device/config_space.hpp"

#include <set>

#include "tests/support/expect_error.hpp"
#include "tests/support/fake_backend.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace outboard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Bytes {
  public:
    explicit Bytes(std::size_t size) : bytes_(size) {}
    Bytes& put8(std::size_t offset, unsigned value) {
        bytes_[offset] = static_cast<std::byte>(value);
        return *this;
    }
    Bytes& put16(std::size_t offset, unsigned value) {
        return put8(offset, value & 0xff).put8(offset + 1, value >> 8);
    }
    Bytes& put32(std::size_t offset, unsigned value) {
        return put16(offset, value & 0xffff).put16(offset + 2, value >> 16);
    }
    /// Says that there is a list, and where it starts.
    Bytes& list(unsigned first) { return put16(0x06, 0x0010).put8(0x34, first); }
    Bytes& capability(std::size_t offset, unsigned id, unsigned next) {
        return put8(offset, id).put8(offset + 1, next);
    }
    Bytes& extended(std::size_t offset, unsigned id, unsigned next) {
        return put32(offset, id | 1U << 16 | next << 20);
    }
    const std::vector<std::byte>& get() const { return bytes_; }

  private:
    std::vector<std::byte> bytes_;
};

std::vector<unsigned> offsets(const std::vector<Capability>& capabilities) {
    std::vector<unsigned> result;
    result.reserve(capabilities.size());
    for (const Capability& capability : capabilities)
        result.push_back(capability.offset);
    return result;
}

TEST(Capabilities, AreReadInTheOrderOfTheirLists) {
    Bytes bytes(4096);
    bytes.list(0x40).capability(0x40, 0x11, 0x80).capability(0x80, 0x01, 0x60).capability(0x60, 0x10, 0);
    bytes.extended(0x100, 0x0001, 0x148).extended(0x148, 0x0019, 0);
    const auto found = parse_capabilities(bytes.get());
    EXPECT_THAT(offsets(found), ElementsAre(0x40, 0x80, 0x60, 0x100, 0x148));
    EXPECT_EQ(found[0].id, 0x11);
    EXPECT_FALSE(found[0].extended);
    EXPECT_EQ(found[4].id, 0x19);
    EXPECT_TRUE(found[4].extended);
}

TEST(Capabilities, ThereAreNoneWithoutTheStatusBit) {
    Bytes bytes(256);
    bytes.list(0x40).capability(0x40, 0x05, 0).put16(0x06, 0);
    EXPECT_THAT(parse_capabilities(bytes.get()), IsEmpty());
}

TEST(Capabilities, ALoopEndsTheWalk) {
    Bytes bytes(256);
    bytes.list(0x40).capability(0x40, 0x05, 0x50).capability(0x50, 0x01, 0x40);
    EXPECT_THAT(offsets(parse_capabilities(bytes.get())), ElementsAre(0x40, 0x50));
    bytes.capability(0x50, 0x01, 0x50);
    EXPECT_THAT(offsets(parse_capabilities(bytes.get())), ElementsAre(0x40, 0x50));
}

TEST(Capabilities, AnExtendedLoopEndsTheWalk) {
    Bytes bytes(4096);
    bytes.extended(0x100, 1, 0x200).extended(0x200, 2, 0x100);
    EXPECT_THAT(offsets(parse_capabilities(bytes.get())), ElementsAre(0x100, 0x200));
}

TEST(Capabilities, APointerIntoTheHeaderEndsTheWalk) {
    Bytes bytes(256);
    bytes.list(0x40).capability(0x40, 0x05, 0x3c);
    EXPECT_THAT(offsets(parse_capabilities(bytes.get())), ElementsAre(0x40));
    bytes.list(0x10);
    EXPECT_THAT(parse_capabilities(bytes.get()), IsEmpty());
}

TEST(Capabilities, TheReservedBitsOfAPointerAreIgnored) {
    Bytes bytes(256);
    bytes.list(0x43).capability(0x40, 0x05, 0x52).capability(0x50, 0x11, 0);
    EXPECT_THAT(offsets(parse_capabilities(bytes.get())), ElementsAre(0x40, 0x50));
}

TEST(Capabilities, AnExtendedPointerBelowItsSpaceOrAtItsEndEndsTheWalk) {
    Bytes bytes(4096);
    bytes.extended(0x100, 1, 0x40);
    EXPECT_THAT(offsets(parse_capabilities(bytes.get())), ElementsAre(0x100));
    bytes.extended(0x100, 1, 0xfff);
    EXPECT_THAT(offsets(parse_capabilities(bytes.get())), ElementsAre(0x100));
    bytes.extended(0x100, 1, 0xffc).extended(0xffc, 3, 0);
    EXPECT_THAT(offsets(parse_capabilities(bytes.get())), ElementsAre(0x100, 0xffc));
}

TEST(Capabilities, ADeviceThatIsGoneHasNone) {
    const std::vector<std::byte> ones(4096, std::byte{0xff});
    const auto found = parse_capabilities(ones);
    // All ones: one "capability" at 0xfc that points to itself, and no extended list.
    EXPECT_THAT(offsets(found), ElementsAre(0xfc));
}

RC_GTEST_PROP(Capabilities, AnyBytesGiveDistinctHeadersInside, (const std::vector<std::uint8_t>& start)) {
    std::vector<std::uint8_t> raw = start;
    raw.resize(*rc::gen::element<std::size_t>(0, 1, 64, 255, 256, 257, 4095, 4096));
    const auto fill = *rc::gen::container<std::vector<std::pair<std::uint16_t, std::uint8_t>>>(
        rc::gen::pair(rc::gen::inRange<std::uint16_t>(0, 4096), rc::gen::arbitrary<std::uint8_t>()));
    for (const auto& [offset, value] : fill)
        if (offset < raw.size())
            raw[offset] = value;
    if (raw.size() > 6)
        raw[6] |= 0x10;
    std::set<unsigned> seen;
    for (const Capability& capability : parse_capabilities(std::as_bytes(std::span(raw)))) {
        RC_ASSERT(capability.offset % 4 == 0);
        RC_ASSERT(capability.offset + 4U <= raw.size());
        RC_ASSERT(capability.offset >= (capability.extended ? 256U : 64U));
        RC_ASSERT(seen.insert(capability.offset).second);
    }
}

TEST(Identity, IsReadFromTheHeader) {
    Bytes bytes(64);
    bytes.put16(0x00, 0x8086).put16(0x02, 0x7010).put8(0x08, 2).put8(0x09, 0x80).put8(0x0a, 1).put8(0x0b, 1);
    bytes.put16(0x2c, 0x1af4).put16(0x2e, 0x1100);
    const PciIdentity identity = parse_identity(bytes.get());
    EXPECT_EQ(identity.vendor, 0x8086);
    EXPECT_EQ(identity.device, 0x7010);
    EXPECT_EQ(identity.revision, 2);
    EXPECT_EQ(identity.programming_interface, 0x80);
    EXPECT_EQ(identity.sub_class, 1);
    EXPECT_EQ(identity.base_class, 1);
    EXPECT_EQ(identity.subsystem_vendor, 0x1af4);
    EXPECT_EQ(identity.subsystem, 0x1100);
}

TEST(Identity, MissingBytesReadAsZero) {
    EXPECT_EQ(parse_identity({}).vendor, 0);
}

TEST(ConfigSpace, ReadsAndWritesLittleEndian) {
    test::FakeBackend backend;
    ConfigSpace config(backend);
    config.write32(0x10, 0x12345678);
    EXPECT_EQ(backend.region(RegionIndex::config)[0x10], std::byte{0x78});
    EXPECT_EQ(config.read8(0x11), 0x56);
    EXPECT_EQ(config.read16(0x12), 0x1234);
    EXPECT_THAT(backend.access_sizes, ElementsAre(4, 1, 2));
}

TEST(ConfigSpace, FindsACapability) {
    test::FakeBackend backend;
    Bytes bytes(256);
    bytes.list(0x40).capability(0x40, 0x05, 0x50).capability(0x50, 0x11, 0);
    backend.region(RegionIndex::config) = bytes.get();
    const ConfigSpace config(backend);
    EXPECT_EQ(config.find(CapabilityId::msix), 0x50);
    EXPECT_EQ(config.find(CapabilityId::pci_express), std::nullopt);
}

TEST(ConfigSpace, AFailedAccessNamesTheDeviceAndTheOffset) {
    test::FakeBackend backend;
    backend.access_error = EIO;
    ConfigSpace config(backend);
    EXPECT_ERROR(
        config.read16(4), ErrorKind::io,
        "cannot read 2 bytes at 0x4 of the configuration space of 0000:00:04.0: Input/output error (EIO)");
    EXPECT_ERROR(
        config.write8(4, 0), ErrorKind::io,
        "cannot write 1 bytes at 0x4 of the configuration space of 0000:00:04.0: Input/output error (EIO)");
}

}  // namespace
}  // namespace outboard
