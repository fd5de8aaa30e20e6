// DMA of the client: mappings, and the commands of a server that reads and writes them by messages.
#include "outboard/base/error.hpp"
#include "outboard/device/device.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/backend/vfio_user/client_fixture.hpp"
#include "tests/support/expect_error.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace outboard::vfio_user {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::from_bytes;
using test::joined;
using test::memory_file;
using test::OddServer;
using test::page;
using test::pattern;
using test::Request;
using test::to_bytes;
using test::VfioUserClient;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(VfioUserClient, TheArenaGoesWithItsFile) {
    open();
    Device wrapped(std::move(device));
    const DmaArena& arena = wrapped.create_arena({.size = page, .address_bits = 32});
    const auto sent = from_bytes<DmaMap>(server.bodies(Command::dma_map).front());
    EXPECT_EQ(sent.address, arena.span().iova);
    EXPECT_EQ(sent.size, arena.span().length);
    EXPECT_EQ(sent.offset, 0U);
    EXPECT_EQ(sent.flags, dma_flag::readable | dma_flag::writable);
    EXPECT_THAT(server.descriptor_counts(Command::dma_map), ElementsAre(1));
}

TEST_F(VfioUserClient, MemoryWithoutAFileNeedsAServerThatTakesIt) {
    server.on(Command::dma_map, [&](const Request& request) {
        if (request.descriptors.empty())
            server.reply_error(request, EINVAL);
        else
            server.usual(request);
    });
    open();
    const Error error = outboard::test::error_of([&] { map(0x1000, pages(0, 1)); });
    EXPECT_THAT(error.what(), HasSubstr("use buffers of the arena, which is a file"));
    // Nothing is left of it.
    EXPECT_THROW(device->unmap_dma(0x1000, page), Error);
    const Fd file = memory_file(page);
    EXPECT_NO_THROW(device->map_dma({.iova = 0x1000, .memory = pages(0, 1), .fd = file.get()}));
}

TEST_F(VfioUserClient, LimitsOnMappingsAreObeyed) {
    server.set_capabilities(R"({"capabilities": {"max_dma_maps": 1, "pgsizes": 24576}})");  // 8 and 16 KiB
    open();
    EXPECT_EQ(device->dma_page_size(), 2 * page);
    EXPECT_THROW(map(0x2000, pages(0, 1)), Error);
    EXPECT_THROW(map(0x1000, pages(0, 2)), Error);
    EXPECT_THROW(map(0x2000, {}), Error);
    map(0x2000, pages(0, 2));
    EXPECT_THAT(outboard::test::error_of([&] { map(0x10000, pages(2, 2)); }).what(),
                HasSubstr("1 mappings at the same time"));
    device->unmap_dma(0x2000, 2 * page);
    EXPECT_NO_THROW(map(0x10000, pages(2, 2)));
    EXPECT_EQ(server.bodies(Command::dma_map).size(), 2U);
}

TEST_F(VfioUserClient, MappingsDoNotOverlap) {
    open();
    map(0x2000, pages(0, 2));
    EXPECT_THROW(map(0x3000, pages(2, 1)), Error);
    EXPECT_THROW(map(0x1000, pages(2, 2)), Error);
    EXPECT_THROW(map(~0ULL - 0xfff, pages(2, 2)), Error);
    EXPECT_THROW(device->unmap_dma(0x2000, page), Error);
    EXPECT_NO_THROW(map(0x1000, pages(2, 1)));
    EXPECT_NO_THROW(map(0x4000, pages(3, 1)));
}

/// A server that has commands of its own, on the common socket or on a twin.
class VfioUserServerCommands : public VfioUserClient, public testing::WithParamInterface<bool> {
  protected:
    VfioUserServerCommands() {
        std::array<int, 2> ends{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        if (GetParam())
            own.emplace(Fd(ends[0]));
        const Fd theirs(ends[1]);
        if (!GetParam())
            ::close(ends[0]);
        server.on(
            Command::version, [this, fd = std::make_shared<Fd>(::dup(theirs.get()))](const Request& request) {
                const std::string json =
                    GetParam() ? R"({"capabilities": {"twin_socket": {"supported": true, "fd_index": 0}}})"
                               : "{}";
                const std::array number{fd->get()};
                server.reply(request,
                             joined({to_bytes(Version{.major = 0, .minor = 1}), to_bytes(json), Bytes(1)}),
                             GetParam() ? std::span<const int>(number) : std::span<const int>());
                fd->reset();
            });
    }

    const test::RawSocket& socket() { return own ? *own : server.client(); }

    static Bytes message(Command command, const Bytes& body, std::uint32_t flags = 0) {
        return joined({to_bytes(Header{.message_id = 77,
                                       .command = static_cast<std::uint16_t>(command),
                                       .size = static_cast<std::uint32_t>(sizeof(Header) + body.size()),
                                       .flags = flags,
                                       .error = 0}),
                       body});
    }
    static Bytes access(std::uint64_t address, std::uint64_t count) {
        return to_bytes(DmaAccessMessage{.address = address, .count = count});
    }
    /// Sends a command and waits for its reply, on the thread that reads the socket.
    Request ask(Command command, const Bytes& body) {
        socket().send(message(command, body));
        Request reply;
        EXPECT_TRUE(socket().receive(reply));
        EXPECT_EQ(reply.header.message_id, 77);
        EXPECT_EQ(reply.header.flags & header_flag::type_mask, header_flag::type_reply);
        return reply;
    }
    std::uint32_t error_of(Command command, const Bytes& body) {
        const Request reply = ask(command, body);
        EXPECT_TRUE(reply.body.empty() || (reply.header.flags & header_flag::error) == 0);
        return (reply.header.flags & header_flag::error) != 0 ? reply.header.error : 0;
    }
    /// Does it on the server's thread while a call of the client waits for its answer.
    void during_a_call(std::function<void()> action) {
        server.on(Command::region_read, [this, action = std::move(action)](const Request& request) {
            if (from_bytes<RegionAccess>(request.body).region == 0)
                action();
            server.usual(request);
        });
        open();
        const Bytes data = pattern(4 * page);
        std::ranges::copy(data, memory.get());
        map(0x10000, pages(0, 2));
        map(0x12000, pages(2, 2));  // side by side
        map(0x20000, pages(4, 1), DmaAccess::read);
        map(0x30000, pages(5, 1), DmaAccess::write);
        Bytes back(4);
        ASSERT_EQ(device->read_region(RegionIndex::bar0, 0, back), 0);
    }

    std::optional<test::RawSocket> own;
};

TEST_P(VfioUserServerCommands, AreServedWhileACallWaits) {
    during_a_call([&] {
        const Request reply = ask(Command::dma_read, access(0x10000, 2 * page));
        EXPECT_EQ(reply.body, joined({access(0x10000, 2 * page), pattern(2 * page)}));
        const Request across = ask(Command::dma_read, access(0x10100, 3 * page));
        EXPECT_EQ(across.body.size(), sizeof(DmaAccessMessage) + 3 * page);
        EXPECT_EQ(across.body.back(), pattern(4 * page)[0x100 + 3 * page - 1]);
        const Request done = ask(Command::dma_write, joined({access(0x11ffe, 4), to_bytes(0x44332211U)}));
        EXPECT_EQ(done.body, access(0x11ffe, 4));
    });
    device.reset();  // its threads are done with the memory
    EXPECT_EQ(memory.get()[0x1ffe], std::byte{0x11});
    EXPECT_EQ(memory.get()[0x2001], std::byte{0x44});
}

TEST_P(VfioUserServerCommands, ThatAreWrongAreRefused) {
    during_a_call([&] {
        EXPECT_EQ(error_of(Command::dma_read, access(0x1000, 4)), std::uint32_t{EFAULT});
        EXPECT_EQ(error_of(Command::dma_read, access(0x13ffe, 4)), std::uint32_t{EFAULT});
        EXPECT_EQ(error_of(Command::dma_read, access(~0ULL, 4)), std::uint32_t{EFAULT});
        EXPECT_EQ(error_of(Command::dma_write, joined({access(0x20000, 4), Bytes(4)})),
                  std::uint32_t{EACCES});
        EXPECT_EQ(error_of(Command::dma_read, access(0x30000, 4)), std::uint32_t{EACCES});
        EXPECT_EQ(error_of(Command::dma_read, access(0x10000, ~0ULL)), std::uint32_t{EINVAL});
        EXPECT_EQ(error_of(Command::dma_read, {}), std::uint32_t{EINVAL});
        EXPECT_EQ(error_of(Command::dma_read, joined({access(0x10000, 4), Bytes(1)})), std::uint32_t{EINVAL});
        EXPECT_EQ(error_of(Command::dma_write, joined({access(0x10000, 4), Bytes(3)})),
                  std::uint32_t{EINVAL});
        EXPECT_EQ(error_of(Command::dma_write, joined({access(0x10000, 4), Bytes(5)})),
                  std::uint32_t{EINVAL});
        EXPECT_EQ(error_of(Command::device_reset, {}), std::uint32_t{ENOSYS});
        EXPECT_EQ(error_of(Command{4711}, {}), std::uint32_t{ENOSYS});
        EXPECT_EQ(error_of(Command::dma_read, access(0x20000, 4)), 0U);
        EXPECT_EQ(error_of(Command::dma_read, access(0x10000, 0)), 0U);
    });
    device.reset();  // its threads are done with the memory
    EXPECT_TRUE(std::ranges::equal(pages(0, 4), pattern(4 * page))) << "a refused write was made";
}

TEST_P(VfioUserServerCommands, AreServedWhileNobodyCalls) {
    server.on(Command::dma_write, [](const Request&) {});  // the client's reply
    during_a_call([] {});
    // The server's thread waits for the client's next command; on the common socket it reads the reply.
    if (GetParam()) {
        for (int i = 0; i < 3; ++i)
            EXPECT_EQ(ask(Command::dma_read, access(0x10000, 8)).body.size(), 24U);
        return;
    }
    server.client().send(message(Command::dma_write, joined({access(0x10000, 8), Bytes(8)})));
    while (server.bodies(Command::dma_write).empty())
        std::this_thread::yield();
    device.reset();  // its threads are done with the memory
    EXPECT_EQ(memory.get()[4], std::byte{0});
}

TEST_P(VfioUserServerCommands, ThatWantNoAnswerGetNone) {
    during_a_call([&] {
        socket().send(message(Command::dma_write, joined({access(0x10000, 1), Bytes(1, std::byte{0xee})}),
                              header_flag::no_reply));
        // Its own answer is the next that comes.
        EXPECT_EQ(ask(Command::dma_read, access(0x10000, 1)).body.back(), std::byte{0xee});
    });
}

TEST_P(VfioUserServerCommands, MemoryThatIsUnmappedIsOutOfReach) {
    during_a_call([] {});
    device->unmap_dma(0x10000, 2 * page);
    if (GetParam()) {
        EXPECT_EQ(error_of(Command::dma_read, access(0x10000, 4)), std::uint32_t{EFAULT});
    }
}

INSTANTIATE_TEST_SUITE_P(Sockets, VfioUserServerCommands, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "Twin" : "Common"; });

TEST_F(VfioUserClient, ACommandThatComesTogetherWithAnAnswerIsServed) {
    server.on(Command::region_read, [&](const Request& request) {
        const auto access = from_bytes<RegionAccess>(request.body);
        Header header = OddServer::reply_header(request);
        header.size = sizeof header + sizeof access + 4;
        Header own{.message_id = 5,
                   .command = static_cast<std::uint16_t>(Command::dma_read),
                   .size = sizeof(Header) + sizeof(DmaAccessMessage),
                   .flags = 0,
                   .error = 0};
        server.client().send(joined({to_bytes(header), to_bytes(access), Bytes(4), to_bytes(own),
                                     to_bytes(DmaAccessMessage{.address = 0x1000, .count = 4})}));
        Request reply;
        EXPECT_TRUE(server.client().receive(reply));
        EXPECT_EQ(reply.header.message_id, 5);
    });
    open();
    map(0x1000, pages(0, 1));
    Bytes data(4);
    EXPECT_EQ(device->read_region(RegionIndex::bar0, 0, data), 0);
    EXPECT_EQ(device->write_region(RegionIndex::bar0, 0, data), 0);
}

}  // namespace
}  // namespace outboard::vfio_user
