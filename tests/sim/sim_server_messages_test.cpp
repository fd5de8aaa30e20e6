// The server against a client made of bytes: every message of the specification, and malformed variants of
// each. After each of them the server must still answer, unless the stream itself is out of step.
#include "outboard/sim/server.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/sim/odd_client.hpp"
#include "tests/sim/socket_directory.hpp"
#include "tests/sim/test_model.hpp"
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

namespace outboard::test {
namespace {

using namespace vfio_user;

constexpr std::uint32_t config = 7;
constexpr std::uint32_t page = 4096;

class SimServer : public testing::Test {
  protected:
    SimServer() { client.shake_hands(); }
    ~SimServer() override { EXPECT_TRUE(!still_works || client.works()); }
    SimServer(const SimServer&) = delete;
    SimServer& operator=(const SimServer&) = delete;
    SimServer(SimServer&&) = delete;
    SimServer& operator=(SimServer&&) = delete;

    /// A body cut short at every length below `whole`, and one of `whole` with a small argument_size, which
    /// is the first field: all are refused.
    template <class T>
    void refuses_short_bodies(Command command, T whole) {
        const Bytes bytes = bytes_in_order(whole);
        for (std::size_t size = 0; size < bytes.size(); ++size)
            EXPECT_EQ(
                client.ask(command, Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)))
                    .error(),
                EINVAL)
                << size;
        whole.argument_size = sizeof(T) - 1;
        EXPECT_EQ(client.ask(command, whole).error(), EINVAL);
    }
    /// A command that takes no descriptors.
    template <class T>
    void refuses_descriptors(Command command, const T& whole) {
        const Fd event(::eventfd(0, 0));
        EXPECT_EQ(client.ask(command, whole, {event.get(), event.get()}).error(), EINVAL);
    }
    void bus_master_on() { client.write(config, 4, 2, 4); }

    SocketDirectory directory;
    TestModel model;
    sim::ServerThread server{model, {.socket = directory.path("test"), .log = {}}};
    OddClient client{directory.path("test")};
    bool still_works = true;
};

// ---- headers ----

TEST_F(SimServer, UnknownCommandsAreRefused) {
    for (const unsigned number : {0U, 14U, 19U, 255U, 0xffffU})
        EXPECT_EQ(client.ask(static_cast<Command>(number)).error(), EOPNOTSUPP) << number;
    for (const Command command :
         {Command::dma_read, Command::dma_write, Command::device_feature, Command::migration_data_read,
          Command::migration_data_write, Command::region_io_descriptors})
        EXPECT_EQ(client.ask(command, Bytes(64)).error(), EOPNOTSUPP);
}

TEST_F(SimServer, ACommandThatWantsNoReplyGetsNone) {
    const Bytes write = bytes_in_order(RegionAccess{.offset = 0, .region = 0, .count = 8}, std::uint64_t{77});
    client.send(Command::region_write, write, {}, header_flag::no_reply);
    client.send(static_cast<Command>(99), {}, {}, header_flag::no_reply);
    EXPECT_EQ(client.read(0, 0, 8), 77U) << "the next message from the server answers the next command";
}

TEST_F(SimServer, PipelinedCommandsAreAnsweredInOrder) {
    Bytes all;
    for (std::uint16_t id = 1; id <= 50; ++id) {
        const Bytes one = bytes_in_order(Header{.message_id = id,
                                                .command = static_cast<std::uint16_t>(Command::region_read),
                                                .size = 32,
                                                .flags = 0,
                                                .error = 0},
                                         RegionAccess{.offset = 0, .region = config, .count = 2});
        all.insert(all.end(), one.begin(), one.end());
    }
    client.send_bytes(all);
    for (std::uint16_t id = 1; id <= 50; ++id) {
        const auto answer = client.receive();
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->header.message_id, id);
    }
}

TEST_F(SimServer, AMessageMayComeByteByByte) {
    const Bytes all = bytes_in_order(Header{.message_id = 9,
                                            .command = static_cast<std::uint16_t>(Command::region_read),
                                            .size = 32,
                                            .flags = 0,
                                            .error = 0},
                                     RegionAccess{.offset = 0, .region = config, .count = 4});
    for (const std::byte& byte : all)
        client.send_bytes(std::span(&byte, 1));
    const auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->as<std::uint32_t>(sizeof(RegionAccess)), 0x56781234U);
}

TEST_F(SimServer, AReplyToNothingIsPassedOver) {
    client.send(Command::dma_read, Bytes(16), {}, header_flag::type_reply);
    client.send(Command::region_read, {}, {}, header_flag::type_reply | header_flag::error);
}

TEST_F(SimServer, SizesThatCannotBeEndTheConnection) {
    still_works = false;
    for (const std::uint32_t size : {0U, 15U, (1U << 20) + 4097U, 0xffffffffU}) {
        server.stop();
        SocketDirectory other;
        TestModel fresh;
        sim::ServerThread one(fresh, {.socket = other.path("test"), .log = {}});
        OddClient odd(other.path("test"));
        odd.shake_hands();
        odd.send_bytes(
            bytes_in_order(Header{.message_id = 1, .command = 4, .size = size, .flags = 0, .error = 0}));
        EXPECT_TRUE(odd.closed()) << size;
        OddClient next(other.path("test"));
        next.shake_hands();
        EXPECT_TRUE(next.works());
    }
}

TEST_F(SimServer, AMessageThatIsNeitherCommandNorReplyEndsTheConnection) {
    still_works = false;
    client.send(Command::device_info, Bytes(16), {}, 2);
    EXPECT_TRUE(client.closed());
}

// ---- version ----

TEST_F(SimServer, TheVersionIsAgreedOnOnce) {
    EXPECT_EQ(client.ask(Command::version, Version{.major = 0, .minor = 1}).error(), EINVAL);
}

class SimServerVersion : public testing::Test {
  protected:
    SocketDirectory directory;
    TestModel model;
    sim::ServerThread server{model, {.socket = directory.path("test"), .log = {}}};
    OddClient client{directory.path("test")};
};

TEST_F(SimServerVersion, ComesFirst) {
    EXPECT_EQ(client.ask(Command::device_info, Bytes(16)).error(), EINVAL);
    EXPECT_EQ(client.ask(Command::device_reset).error(), EINVAL);
    client.shake_hands();
    EXPECT_TRUE(client.works());
}

TEST_F(SimServerVersion, IsAnsweredWithWhatBothKnow) {
    const Answer answer = client.ask(Command::version, Version{.major = 0, .minor = 9});
    EXPECT_EQ(answer.as<Version>().major, 0);
    EXPECT_EQ(answer.as<Version>().minor, 1);
    EXPECT_EQ(answer.body.back(), std::byte{0});
}

TEST_F(SimServerVersion, ThatCannotBeAgreedOnEndsTheConnection) {
    EXPECT_EQ(client.ask(Command::version, Version{.major = 3, .minor = 0}).error(), EPROTONOSUPPORT);
    EXPECT_TRUE(client.closed());
}

TEST_F(SimServerVersion, WithNonsenseEndsTheConnection) {
    EXPECT_EQ(client.ask(Command::version, Bytes(3)).error(), EINVAL);
    EXPECT_TRUE(client.closed());
}

TEST_F(SimServerVersion, AClientThatTakesNoDescriptorsGetsNone) {
    client.shake_hands(R"({"max_msg_fds":0})");
    const RegionInfo asked{
        .argument_size = 32, .flags = 0, .index = 1, .capability_offset = 0, .size = 0, .offset = 0};
    const Answer answer = client.ask(Command::region_info, asked);
    EXPECT_EQ(answer.as<RegionInfo>().flags, region_flag::readable | region_flag::writable);
    EXPECT_TRUE(answer.descriptors.empty());
}

// ---- what the device has ----

TEST_F(SimServer, TellsAboutTheDevice) {
    const DeviceInfo asked{.argument_size = 16, .flags = 0, .regions = 0, .interrupts = 0};
    const auto info = client.ask(Command::device_info, asked).as<DeviceInfo>();
    EXPECT_EQ(info.argument_size, 16U);
    EXPECT_EQ(info.flags, device_flag::reset | device_flag::pci);
    EXPECT_EQ(info.regions, 9U);
    EXPECT_EQ(info.interrupts, 5U);
    refuses_short_bodies(Command::device_info, asked);
    refuses_descriptors(Command::device_info, asked);
}

RegionInfo asked_region(std::uint32_t index, std::uint32_t room = 32) {
    return {
        .argument_size = room, .flags = 0, .index = index, .capability_offset = 0, .size = 0, .offset = 0};
}

TEST_F(SimServer, TellsAboutRegions) {
    const std::vector<std::uint64_t> sizes{0x4000, 0x2000, 0, 0, 16, 0, 0, 256, 0};
    for (std::uint32_t index = 0; index < 9; ++index) {
        const auto info = client.ask(Command::region_info, asked_region(index)).as<RegionInfo>();
        EXPECT_EQ(info.index, index);
        EXPECT_EQ(info.size, sizes[index]);
        EXPECT_EQ((info.flags & region_flag::readable) != 0, info.size > 0);
    }
    EXPECT_EQ(client.ask(Command::region_info, asked_region(9)).error(), EINVAL);
    EXPECT_EQ(client.ask(Command::region_info, asked_region(~0U)).error(), EINVAL);
    refuses_short_bodies(Command::region_info, asked_region(0));
    refuses_descriptors(Command::region_info, asked_region(0));
}

TEST_F(SimServer, SharesARegionInPart) {
    const Answer small = client.ask(Command::region_info, asked_region(0));
    EXPECT_EQ(small.body.size(), 32U);
    EXPECT_EQ(small.as<RegionInfo>().argument_size, 64U) << "what it takes";
    EXPECT_EQ(small.as<RegionInfo>().capability_offset, 32U);

    const Answer whole = client.ask(Command::region_info, asked_region(0, 64));
    EXPECT_EQ(whole.as<RegionInfo>().flags, region_flag::readable | region_flag::writable |
                                                region_flag::mappable | region_flag::capabilities);
    EXPECT_EQ(whole.as<RegionInfo>().capability_offset, 32U);
    const auto sparse = whole.as<SparseMmap>(32);
    EXPECT_EQ(sparse.header.id, sparse_mmap_capability);
    EXPECT_EQ(sparse.header.version, 1);
    EXPECT_EQ(sparse.header.next, 0U);
    EXPECT_EQ(sparse.areas, 1U);
    const auto area = whole.as<SparseArea>(48);
    EXPECT_EQ(area.offset, 0x1000U);
    EXPECT_EQ(area.size, 0x1000U);

    ASSERT_EQ(whole.descriptors.size(), 1U);
    void* const mapped = ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, whole.descriptors[0].get(),
                                static_cast<off_t>(area.offset));
    ASSERT_NE(mapped, MAP_FAILED);
    std::memcpy(static_cast<std::byte*>(mapped) + 16, "doorbell", 8);
    std::uint64_t text = 0;
    std::memcpy(&text, "doorbell", 8);
    EXPECT_EQ(client.read(0, 0x1010, 8), text) << "by message it is the same memory";
    ::munmap(mapped, page);
    EXPECT_NE(::ftruncate(whole.descriptors[0].get(), 0), 0) << "a client cannot take the memory away";
}

TEST_F(SimServer, SharesARegionAsAWhole) {
    const Answer answer = client.ask(Command::region_info, asked_region(1));
    EXPECT_EQ(answer.as<RegionInfo>().flags,
              region_flag::readable | region_flag::writable | region_flag::mappable);
    EXPECT_EQ(answer.descriptors.size(), 1U);
}

InterruptInfo asked_interrupt(std::uint32_t index) {
    return {.argument_size = 16, .flags = 0, .index = index, .count = 0};
}

TEST_F(SimServer, TellsAboutInterrupts) {
    const std::vector<std::uint32_t> counts{1, 2, 4, 0, 0};
    for (std::uint32_t index = 0; index < 5; ++index) {
        const auto info = client.ask(Command::interrupt_info, asked_interrupt(index)).as<InterruptInfo>();
        EXPECT_EQ(info.count, counts[index]);
        EXPECT_EQ((info.flags & interrupt_flag::eventfd) != 0, info.count > 0);
        EXPECT_EQ((info.flags & interrupt_flag::automasked) != 0, index == 0);
    }
    EXPECT_EQ(client.ask(Command::interrupt_info, asked_interrupt(5)).error(), EINVAL);
    refuses_short_bodies(Command::interrupt_info, asked_interrupt(0));
    refuses_descriptors(Command::interrupt_info, asked_interrupt(0));
}

// ---- regions ----

TEST_F(SimServer, ReadsAndWritesRegisters) {
    client.write(0, 8, 8, 0x1122334455667788);
    EXPECT_EQ(client.read(0, 8, 8), 0x1122334455667788U);
    EXPECT_EQ(client.read(0, 12, 4), 0x11223344U);
    EXPECT_EQ(client.read(0, 15, 1), 0x11U);
    EXPECT_EQ(client.read(config, 0, 4), 0x56781234U);
}

TEST_F(SimServer, ALargeAccessIsOne) {
    Bytes write = bytes_in_order(RegionAccess{.offset = 0, .region = 1, .count = 0x2000});
    for (std::size_t i = 0; i < 0x2000; ++i)
        write.push_back(static_cast<std::byte>(i * 7));
    EXPECT_EQ(client.ask(Command::region_write, write).error(), 0);
    const Answer read =
        client.ask(Command::region_read, RegionAccess{.offset = 0, .region = 1, .count = 0x2000});
    EXPECT_EQ(read.body, write);
}

TEST_F(SimServer, RefusesReadsThatCannotBe) {
    const auto read = [this](std::uint32_t region, std::uint64_t offset, std::uint32_t count) {
        return client
            .ask(Command::region_read, RegionAccess{.offset = offset, .region = region, .count = count})
            .error();
    };
    EXPECT_EQ(read(0, 0x4000, 1), EINVAL);
    EXPECT_EQ(read(0, 0x3ffc, 8), EINVAL);
    EXPECT_EQ(read(0, ~std::uint64_t{0}, 4), EINVAL);
    EXPECT_EQ(read(0, 0, 0), EINVAL);
    EXPECT_EQ(read(0, 0, 0xffffffff), EINVAL);
    EXPECT_EQ(read(0, 0, (1 << 20) + 1), EINVAL);
    EXPECT_EQ(read(2, 0, 4), EINVAL) << "it has no such BAR";
    EXPECT_EQ(read(6, 0, 4), EINVAL);
    EXPECT_EQ(read(9, 0, 4), EINVAL);
    EXPECT_EQ(read(~0U, 0, 4), EINVAL);
    EXPECT_EQ(read(config, 255, 2), EINVAL);
    for (std::size_t size = 0; size < sizeof(RegionAccess); ++size)
        EXPECT_EQ(client.ask(Command::region_read, Bytes(size)).error(), EINVAL) << size;
    refuses_descriptors(Command::region_read, RegionAccess{.offset = 0, .region = 0, .count = 4});
}

TEST_F(SimServer, RefusesWritesThatCannotBe) {
    const auto write = [this](std::uint32_t region, std::uint64_t offset, std::uint32_t count,
                              std::size_t bytes) {
        Bytes body = bytes_in_order(RegionAccess{.offset = offset, .region = region, .count = count});
        body.resize(body.size() + bytes, std::byte{0xff});
        return client.ask(Command::region_write, body).error();
    };
    EXPECT_EQ(write(0, 0x4000, 1, 1), EINVAL);
    EXPECT_EQ(write(0, ~std::uint64_t{0} - 1, 4, 4), EINVAL);
    EXPECT_EQ(write(0, 0, 0, 0), EINVAL);
    EXPECT_EQ(write(0, 0, 4, 3), EINVAL) << "fewer bytes than it says";
    EXPECT_EQ(write(0, 0, 4, 5), EINVAL) << "more bytes than it says";
    EXPECT_EQ(write(0, 0, 0xffffffff, 4), EINVAL);
    EXPECT_EQ(write(3, 0, 4, 4), EINVAL);
    EXPECT_EQ(write(~0U, 0, 4, 4), EINVAL);
    for (std::size_t size = 0; size < sizeof(RegionAccess); ++size)
        EXPECT_EQ(client.ask(Command::region_write, Bytes(size)).error(), EINVAL) << size;
    EXPECT_EQ(client.read(0, 0, 8), 0U);
}

TEST_F(SimServer, AModelThatFailsFailsTheAccess) {
    const Bytes write = bytes_in_order(RegionAccess{.offset = TestModel::command, .region = 0, .count = 8},
                                       std::uint64_t{TestModel::fail});
    EXPECT_EQ(client.ask(Command::region_write, write).error(), EIO);
}

TEST_F(SimServer, SeveralWritesComeInOneMessage) {
    const auto entry = [](std::uint64_t offset, std::uint32_t region, std::uint32_t count,
                          std::uint8_t value) {
        return WriteMultiEntry{.offset = offset, .region = region, .count = count, .data = {value}};
    };
    const auto done = [this](const Bytes& body) {
        return client.ask(Command::region_write_multi, body).as<WriteMulti>().writes;
    };
    EXPECT_EQ(done(bytes_in_order(WriteMulti{.writes = 3}, entry(0, 0, 8, 1), entry(8, 0, 8, 2),
                                  entry(16, 0, 4, 3))),
              3U);
    EXPECT_EQ(client.read(0, 0, 8), 1U);
    EXPECT_EQ(client.read(0, 8, 8), 2U);
    EXPECT_EQ(client.read(0, 16, 8), 3U);
    EXPECT_EQ(done(bytes_in_order(WriteMulti{.writes = 0})), 0U);
    // It ends at the first that cannot be, and says how many were done.
    for (const WriteMultiEntry wrong : {entry(0x4000, 0, 8, 9), entry(0, 0, 9, 9), entry(0, 0, 0, 9),
                                        entry(0, 77, 4, 9), entry(0, 0, 0xffffffff, 9)}) {
        EXPECT_EQ(done(bytes_in_order(WriteMulti{.writes = 3}, entry(0, 0, 8, 5), wrong, entry(8, 0, 8, 9))),
                  1U);
        EXPECT_EQ(client.read(0, 8, 8), 2U);
    }
}

TEST_F(SimServer, RefusesSeveralWritesWhoseNumberIsWrong) {
    const WriteMultiEntry entry{.offset = 0, .region = 0, .count = 8, .data = {9}};
    const auto error = [this](const Bytes& body) {
        return client.ask(Command::region_write_multi, body).error();
    };
    EXPECT_EQ(error({}), EINVAL);
    EXPECT_EQ(error(Bytes(7)), EINVAL);
    EXPECT_EQ(error(bytes_in_order(WriteMulti{.writes = 2}, entry)), EINVAL);
    EXPECT_EQ(error(bytes_in_order(WriteMulti{.writes = 0}, entry)), EINVAL);
    EXPECT_EQ(error(bytes_in_order(WriteMulti{.writes = ~std::uint64_t{0}}, entry)), EINVAL);
    EXPECT_EQ(error(bytes_in_order(WriteMulti{.writes = 1}, entry, std::uint8_t{1})), EINVAL);
    // 24 times this is 24 again in 64 bits.
    EXPECT_EQ(error(bytes_in_order(WriteMulti{.writes = (std::uint64_t{1} << 61) + 1}, entry)), EINVAL);
    EXPECT_EQ(client.read(0, 0, 8), 0U);
}

TEST_F(SimServer, ResetsTheDevice) {
    client.write(0, 0, 8, 5);
    client.write(config, 4, 2, 4);
    EXPECT_EQ(client.ask(Command::device_reset).error(), 0);
    EXPECT_EQ(client.read(0, 0, 8), 0U);
    EXPECT_EQ(client.read(config, 4, 2), 4U) << "configuration space is restored, as VFIO does";
    refuses_descriptors(Command::device_reset, std::uint32_t{0});
}

// ---- memory ----

DmaMap map_of(std::uint64_t address, std::uint64_t size, std::uint32_t flags = 3, std::uint64_t offset = 0) {
    return {.argument_size = 32, .flags = flags, .offset = offset, .address = address, .size = size};
}

DmaUnmap unmap_of(std::uint64_t address, std::uint64_t size, std::uint32_t flags = 0) {
    return {.argument_size = 24, .flags = flags, .address = address, .size = size};
}

TEST_F(SimServer, MapsAndUnmapsMemory) {
    const Fd file(::memfd_create("client", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), 4 * page), 0);
    const std::uint64_t secret = 0x0123456789abcdef;
    ASSERT_EQ(::pwrite(file.get(), &secret, 8, page + 64), 8);
    EXPECT_EQ(client.ask(Command::dma_map, map_of(0x100000, 2 * page, 3, page), {file.get()}).error(), 0);
    bus_master_on();
    client.write(0, 0, 8, 0x100040);
    client.write(0, TestModel::command, 8, TestModel::dma_read);
    EXPECT_EQ(client.read(0, 8, 8), secret);

    EXPECT_EQ(client.ask(Command::dma_map, map_of(0x101000, page), {file.get()}).error(), EEXIST);
    EXPECT_EQ(client.ask(Command::dma_unmap, unmap_of(0x100000, page)).error(), ENOENT);
    const Answer unmapped = client.ask(Command::dma_unmap, unmap_of(0x100000, 2 * page));
    EXPECT_EQ(unmapped.body, bytes_in_order(unmap_of(0x100000, 2 * page)));
    client.write(0, TestModel::command, 8, TestModel::dma_read);
    EXPECT_EQ(client.read(0, 8, 8), ~std::uint64_t{0}) << "it is gone: an IOMMU gives all ones";
}

TEST_F(SimServer, UnmapsAllAtOnce) {
    const Fd file(::memfd_create("client", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), 4 * page), 0);
    for (std::uint64_t i = 0; i < 3; ++i)
        EXPECT_EQ(client.ask(Command::dma_map, map_of(i * 0x100000, page), {file.get()}).error(), 0);
    EXPECT_EQ(client.ask(Command::dma_unmap, unmap_of(0x100000, page, unmap_flag::all)).error(), EINVAL);
    EXPECT_EQ(client.ask(Command::dma_unmap, unmap_of(0, 0, unmap_flag::all)).error(), 0);
    for (std::uint64_t i = 0; i < 3; ++i)
        EXPECT_EQ(client.ask(Command::dma_unmap, unmap_of(i * 0x100000, page)).error(), ENOENT);
}

TEST_F(SimServer, RefusesMappingsThatCannotBe) {
    const Fd file(::memfd_create("client", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), 4 * page), 0);
    const auto map = [&](const DmaMap& asked) {
        return client.ask(Command::dma_map, asked, {file.get()}).error();
    };
    EXPECT_EQ(map(map_of(0, 0)), EINVAL);
    EXPECT_EQ(map(map_of(1, page)), EINVAL);
    EXPECT_EQ(map(map_of(0, 1)), EINVAL);
    EXPECT_EQ(map(map_of(~std::uint64_t{0} - page + 1, 2 * page)), EINVAL);
    EXPECT_EQ(map(map_of(0, page, 0)), EINVAL) << "neither readable nor writable";
    EXPECT_EQ(map(map_of(0, page, 7)), EINVAL) << "an unknown flag";
    EXPECT_EQ(map(map_of(0, 5 * page)), EINVAL) << "beyond the file";
    EXPECT_EQ(map(map_of(0, page, 3, 4 * page)), EINVAL);
    EXPECT_EQ(map(map_of(0, page, 3, ~std::uint64_t{0})), EINVAL);
    EXPECT_EQ(client.ask(Command::dma_map, map_of(0, page), {file.get(), file.get()}).error(), EINVAL);
    refuses_short_bodies(Command::dma_map, map_of(0, page));
    refuses_short_bodies(Command::dma_unmap, unmap_of(0, page));
    EXPECT_EQ(client.ask(Command::dma_unmap, unmap_of(0, page, unmap_flag::dirty_bitmap)).error(),
              EOPNOTSUPP);
    EXPECT_EQ(client.ask(Command::dma_unmap, unmap_of(0, page, 1U << 31)).error(), EINVAL);
    refuses_descriptors(Command::dma_unmap, unmap_of(0, page));
}

// ---- memory by message ----

TEST_F(SimServer, MemoryWithoutADescriptorIsAskedFor) {
    EXPECT_EQ(client.ask(Command::dma_map, map_of(0x100000, page)).error(), 0);
    bus_master_on();
    client.write(0, 0, 8, 0x100040);
    const Bytes command = bytes_in_order(RegionAccess{.offset = TestModel::command, .region = 0, .count = 8},
                                         std::uint64_t{TestModel::dma_read});
    client.send(Command::region_write, command);
    const std::uint16_t written = client.next_id;
    const auto question = client.receive();
    ASSERT_TRUE(question);
    EXPECT_EQ(question->header.command, static_cast<std::uint16_t>(Command::dma_read));
    EXPECT_EQ(question->header.flags & header_flag::type_mask, header_flag::type_command);
    EXPECT_EQ(question->as<DmaAccessMessage>().address, 0x100040U);
    EXPECT_EQ(question->as<DmaAccessMessage>().count, 8U);

    // A command of the client in between waits for its turn.
    client.send(Command::region_read, bytes_of(RegionAccess{.offset = 8, .region = 0, .count = 8}));
    client.send_bytes(bytes_in_order(Header{.message_id = question->header.message_id,
                                            .command = question->header.command,
                                            .size = 40,
                                            .flags = header_flag::type_reply,
                                            .error = 0},
                                     question->as<DmaAccessMessage>(), std::uint64_t{0xfeed}));
    const auto write_done = client.receive();
    ASSERT_TRUE(write_done);
    EXPECT_EQ(write_done->header.message_id, written);
    const auto value = client.receive();
    ASSERT_TRUE(value);
    EXPECT_EQ(value->as<std::uint64_t>(sizeof(RegionAccess)), 0xfeedU);
}

TEST_F(SimServer, ADmaWriteByMessageCarriesTheData) {
    EXPECT_EQ(client.ask(Command::dma_map, map_of(0x100000, page)).error(), 0);
    bus_master_on();
    client.write(0, 0, 8, 0x100008);
    client.write(0, 8, 8, 0xabcd);
    client.send(Command::region_write,
                bytes_in_order(RegionAccess{.offset = TestModel::command, .region = 0, .count = 8},
                               std::uint64_t{TestModel::dma_write}));
    const auto question = client.receive();
    ASSERT_TRUE(question);
    EXPECT_EQ(question->header.command, static_cast<std::uint16_t>(Command::dma_write));
    EXPECT_EQ(question->as<std::uint64_t>(sizeof(DmaAccessMessage)), 0xabcdU);
    client.send_bytes(bytes_in_order(Header{.message_id = question->header.message_id,
                                            .command = question->header.command,
                                            .size = 32,
                                            .flags = header_flag::type_reply,
                                            .error = 0},
                                     question->as<DmaAccessMessage>()));
    EXPECT_TRUE(client.receive());
}

TEST_F(SimServer, DmaByMessageThatIsRefusedOrWrongFaults) {
    EXPECT_EQ(client.ask(Command::dma_map, map_of(0x100000, page)).error(), 0);
    bus_master_on();
    client.write(0, 0, 8, 0x100000);
    const auto read_by_message = [&](std::uint32_t flags, const Bytes& body) {
        client.send(Command::region_write,
                    bytes_in_order(RegionAccess{.offset = TestModel::command, .region = 0, .count = 8},
                                   std::uint64_t{TestModel::dma_read}));
        const auto question = client.receive();
        ASSERT_TRUE(question);
        Bytes all = bytes_in_order(Header{.message_id = question->header.message_id,
                                          .command = question->header.command,
                                          .size = static_cast<std::uint32_t>(16 + body.size()),
                                          .flags = flags,
                                          .error = EFAULT});
        all.insert(all.end(), body.begin(), body.end());
        client.send_bytes(all);
        EXPECT_TRUE(client.receive());
        EXPECT_EQ(client.read(0, 8, 8), ~std::uint64_t{0});
    };
    const auto good = header_flag::type_reply;
    read_by_message(good | header_flag::error, {});
    read_by_message(good, {});
    read_by_message(good, Bytes(24));
    read_by_message(good, bytes_in_order(DmaAccessMessage{.address = 0, .count = 8}, std::uint32_t{1}));
    read_by_message(good, bytes_in_order(DmaAccessMessage{.address = 0, .count = 9}, std::uint64_t{1}));
    EXPECT_EQ(model.dma().counts().read_faults, 5U);
}

TEST_F(SimServer, AClientThatSendsCommandsInsteadOfAnAnswerIsLeft) {
    still_works = false;
    EXPECT_EQ(client.ask(Command::dma_map, map_of(0x100000, page)).error(), 0);
    bus_master_on();
    client.write(0, 0, 8, 0x100000);
    client.send(Command::region_write,
                bytes_in_order(RegionAccess{.offset = TestModel::command, .region = 0, .count = 8},
                               std::uint64_t{TestModel::dma_read}));
    for (int i = 0; i < 300; ++i)
        client.send(Command::device_info, Bytes(16));
    EXPECT_TRUE(client.closed());
}

// ---- interrupts ----

SetInterrupts set_of(std::uint32_t flags, std::uint32_t index, std::uint32_t start, std::uint32_t count) {
    return {.argument_size = 20, .flags = flags, .index = index, .start = start, .count = count};
}

std::uint64_t fired(const Fd& eventfd) {
    std::uint64_t count = 0;
    return ::read(eventfd.get(), &count, sizeof count) == sizeof count ? count : 0;
}

Fd new_eventfd() {
    return Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

constexpr std::uint32_t connect_flags = set_flag::data_eventfd | set_flag::action_trigger;

TEST_F(SimServer, ConnectsVectorsAndFiresThem) {
    const Fd one = new_eventfd();
    const Fd two = new_eventfd();
    EXPECT_EQ(
        client.ask(Command::set_interrupts, set_of(connect_flags, 2, 1, 2), {one.get(), two.get()}).error(),
        0);
    bus_master_on();
    client.write(0, 16, 8, 2);
    client.write(0, TestModel::command, 8, TestModel::notify);
    EXPECT_EQ(fired(one), 0U);
    EXPECT_EQ(fired(two), 1U);

    const auto act = [this](std::uint32_t flags, std::uint32_t start, std::uint32_t count,
                            Bytes chosen = {}) {
        Bytes body = bytes_in_order(set_of(flags, 2, start, count));
        body.insert(body.end(), chosen.begin(), chosen.end());
        return client.ask(Command::set_interrupts, body).error();
    };
    EXPECT_EQ(act(set_flag::data_none | set_flag::action_trigger, 1, 2), 0);
    EXPECT_EQ(fired(one), 1U);
    EXPECT_EQ(fired(two), 1U);
    EXPECT_EQ(act(set_flag::data_bool | set_flag::action_trigger, 1, 2, {std::byte{1}, std::byte{0}}), 0);
    EXPECT_EQ(fired(one), 1U);
    EXPECT_EQ(fired(two), 0U);

    EXPECT_EQ(act(set_flag::data_bool | set_flag::action_mask, 1, 2, {std::byte{0}, std::byte{1}}), 0);
    client.write(0, TestModel::command, 8, TestModel::notify);
    EXPECT_EQ(fired(two), 0U);
    EXPECT_EQ(client.read(0, 0x3000, 8), 1U << 2) << "pending";
    EXPECT_EQ(act(set_flag::data_none | set_flag::action_unmask, 0, 4), 0);
    EXPECT_EQ(fired(two), 1U);

    EXPECT_EQ(act(connect_flags, 2, 1), 0) << "without a descriptor: disconnect";
    client.write(0, TestModel::command, 8, TestModel::notify);
    EXPECT_EQ(fired(two), 0U);
    EXPECT_EQ(act(set_flag::data_none | set_flag::action_trigger, 0, 0), 0) << "all off";
    EXPECT_EQ(act(set_flag::data_none | set_flag::action_trigger, 1, 1), 0);
    EXPECT_EQ(fired(one), 0U);
}

TEST_F(SimServer, TheLineIsMaskedWhenItFires) {
    const Fd line = new_eventfd();
    const Fd masked = new_eventfd();
    const Fd unmasked = new_eventfd();
    const auto connect = [this](std::uint32_t action, const Fd& eventfd) {
        return client
            .ask(Command::set_interrupts, set_of(set_flag::data_eventfd | action, 0, 0, 1), {eventfd.get()})
            .error();
    };
    EXPECT_EQ(connect(set_flag::action_trigger, line), 0);
    EXPECT_EQ(connect(set_flag::action_mask, masked), 0);
    EXPECT_EQ(connect(set_flag::action_unmask, unmasked), 0);
    client.write(0, TestModel::command, 8, TestModel::raise_line);
    EXPECT_EQ(fired(line), 1U);
    EXPECT_EQ(fired(masked), 1U);
    const SetInterrupts unmask = set_of(set_flag::data_none | set_flag::action_unmask, 0, 0, 1);
    EXPECT_EQ(client.ask(Command::set_interrupts, unmask).error(), 0);
    EXPECT_EQ(fired(unmasked), 1U);
    EXPECT_EQ(fired(line), 1U) << "the line is still high";
    client.write(0, TestModel::command, 8, TestModel::lower_line);
    EXPECT_EQ(client.ask(Command::set_interrupts, unmask).error(), 0);
    EXPECT_EQ(fired(line), 0U);
}

TEST_F(SimServer, RefusesInterruptsThatCannotBe) {
    const Fd event = new_eventfd();
    const auto set = [&](const SetInterrupts& asked, std::initializer_list<int> descriptors = {}) {
        return client.ask(Command::set_interrupts, asked, descriptors).error();
    };
    const int one = event.get();
    EXPECT_EQ(set(set_of(connect_flags, 3, 0, 1), {one}), EINVAL) << "no such kind, or none of it";
    EXPECT_EQ(set(set_of(connect_flags, 5, 0, 1), {one}), EINVAL);
    EXPECT_EQ(set(set_of(connect_flags, ~0U, 0, 1), {one}), EINVAL);
    EXPECT_EQ(set(set_of(connect_flags, 2, 4, 1), {one}), EINVAL) << "no such vector";
    EXPECT_EQ(set(set_of(connect_flags, 2, 3, 2), {one, one}), EINVAL);
    EXPECT_EQ(set(set_of(connect_flags, 2, 0xffffffff, 2), {one, one}), EINVAL) << "start + count overflows";
    EXPECT_EQ(set(set_of(connect_flags, 2, 1, 0xffffffff), {one}), EINVAL);
    EXPECT_EQ(set(set_of(connect_flags, 2, 0, 2), {one}), EINVAL) << "a descriptor is missing";
    EXPECT_EQ(set(set_of(connect_flags, 2, 0, 1), {one, one}), EINVAL) << "a descriptor too many";
    EXPECT_EQ(set(set_of(connect_flags, 2, 0, 0)), EINVAL);
    EXPECT_EQ(set(set_of(0, 2, 0, 1)), EINVAL) << "neither data nor action";
    EXPECT_EQ(set(set_of(set_flag::data_none, 2, 0, 1)), EINVAL);
    EXPECT_EQ(set(set_of(set_flag::action_mask, 2, 0, 1)), EINVAL);
    EXPECT_EQ(set(set_of(set_flag::data_none | set_flag::data_bool | set_flag::action_mask, 2, 0, 1)),
              EINVAL);
    EXPECT_EQ(set(set_of(set_flag::data_none | set_flag::action_mask | set_flag::action_unmask, 2, 0, 1)),
              EINVAL);
    EXPECT_EQ(set(set_of(1U << 6 | set_flag::data_none | set_flag::action_mask, 2, 0, 1)), EINVAL);
    EXPECT_EQ(set(set_of(set_flag::data_none | set_flag::action_mask, 2, 0, 1), {one}), EINVAL);
    EXPECT_EQ(set(set_of(set_flag::data_none | set_flag::action_mask, 2, 0, 0)), EINVAL);
    EXPECT_EQ(set(set_of(set_flag::data_none | set_flag::action_trigger, 2, 1, 0)), EINVAL);
    EXPECT_EQ(set(set_of(set_flag::data_bool | set_flag::action_mask, 2, 0, 4)), EINVAL)
        << "no booleans follow";
    refuses_short_bodies(Command::set_interrupts, set_of(connect_flags, 2, 0, 1));
}

TEST_F(SimServer, OnlyEventfdsAreConnected) {
    int ends[2] = {-1, -1};
    ASSERT_EQ(::pipe(ends), 0);
    const Fd reader(ends[0]);
    const Fd writer(ends[1]);
    EXPECT_EQ(client.ask(Command::set_interrupts, set_of(connect_flags, 2, 0, 1), {writer.get()}).error(),
              EINVAL);
    const Fd event = new_eventfd();
    EXPECT_EQ(client.ask(Command::set_interrupts, set_of(connect_flags, 2, 0, 2), {event.get(), reader.get()})
                  .error(),
              EINVAL);
}

TEST_F(SimServer, MoreDescriptorsThanAgreedAreRefused) {
    const Fd e = new_eventfd();
    const int n = e.get();
    EXPECT_EQ(client
                  .ask(Command::set_interrupts, set_of(connect_flags, 2, 0, 17),
                       {n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n})
                  .error(),
              EINVAL);
}

}  // namespace
}  // namespace outboard::test
