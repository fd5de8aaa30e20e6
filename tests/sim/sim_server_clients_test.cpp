// How clients come and go, how the server starts and stops, and what it does on its own: timers and
// doorbells.
#include "outboard/sim/server.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/sim/odd_client.hpp"
#include "tests/sim/socket_directory.hpp"
#include "tests/sim/test_model.hpp"
#include "tests/support/expect_error.hpp"
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace outboard::test {
namespace {

using namespace std::chrono_literals;
using namespace vfio_user;

constexpr std::uint32_t config = 7;
constexpr std::uint32_t page = 4096;

class SimClients : public testing::Test {
  protected:
    void note(std::string_view line) {
        const std::scoped_lock lock(mutex);
        lines.emplace_back(line);
    }
    sim::ServerOptions options(Duration patience = 5s) {
        return {.socket = path, .log = [this](std::string_view line) { note(line); }, .patience = patience};
    }
    bool noted(std::string_view line) {
        const std::scoped_lock lock(mutex);
        return std::ranges::find(lines, line) != lines.end();
    }
    /// Reads a register until it has that value; false after 10 s.
    static bool becomes(OddClient& client, std::uint64_t offset, std::uint64_t value) {
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        while (client.read(0, offset, 8) != value)
            if (std::chrono::steady_clock::now() > deadline)
                return false;
        return true;
    }

    SocketDirectory directory;
    std::filesystem::path path = directory.path("test");
    std::mutex mutex;
    std::vector<std::string> lines;
    TestModel model;
};

TEST_F(SimClients, TheNextMayComeWhenOneIsGoneAndFindsTheDeviceAsItWas) {
    sim::ServerThread server(model, options());
    const Fd file(::memfd_create("client", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), page), 0);
    for (std::uint64_t round = 0; round < 100; ++round) {
        OddClient client(path);
        client.shake_hands();
        EXPECT_EQ(client.read(0, 0, 8), round);
        client.write(0, 0, 8, round + 1);
        // What belongs to a client goes with it: the same address is free again.
        const DmaMap map{.argument_size = 32, .flags = 3, .offset = 0, .address = 0x1000, .size = page};
        EXPECT_EQ(client.ask(Command::dma_map, map, {file.get()}).error(), 0);
    }
    server.stop();
    EXPECT_EQ(model.dma().mappings(), 0U);
    const std::scoped_lock lock(mutex);
    EXPECT_EQ(std::ranges::count(lines, "the client is gone: it has left"), 100);
}

TEST_F(SimClients, EventfdsGoWithTheirClient) {
    sim::ServerThread server(model, options());
    int ends[2] = {-1, -1};
    ASSERT_EQ(::pipe(ends), 0);
    const Fd event(::eventfd(0, EFD_NONBLOCK));
    {
        OddClient client(path);
        client.shake_hands();
        const SetInterrupts set{.argument_size = 20,
                                .flags = set_flag::data_eventfd | set_flag::action_trigger,
                                .index = 0,
                                .start = 0,
                                .count = 1};
        EXPECT_EQ(client.ask(Command::set_interrupts, set, {event.get()}).error(), 0);
    }
    OddClient next(path);
    next.shake_hands();
    next.write(0, TestModel::command, 8, TestModel::raise_line);
    std::uint64_t count = 0;
    EXPECT_LT(::read(event.get(), &count, sizeof count), 0);
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_F(SimClients, ASecondOneIsToldThatTheDeviceIsInUse) {
    sim::ServerThread server(model, options());
    OddClient first(path);
    first.shake_hands();
    OddClient second(path);
    EXPECT_EQ(second.ask(Command::version, Version{.major = 0, .minor = 1}).error(), EBUSY);
    EXPECT_TRUE(second.closed());
    EXPECT_TRUE(first.works());
    first.hang_up();
    OddClient third(path);
    third.shake_hands();
    EXPECT_TRUE(third.works());
}

TEST_F(SimClients, ASecondOneThatSaysNothingIsClosed) {
    sim::ServerThread server(model, options());
    OddClient first(path);
    first.shake_hands();
    OddClient silent(path);
    EXPECT_TRUE(silent.closed());
    EXPECT_TRUE(first.works());
}

TEST_F(SimClients, OneThatIsGoneInTheMiddleOfAMessageHarmsNobody) {
    sim::ServerThread server(model, options());
    const Bytes message =
        bytes_in_order(Header{.message_id = 1,
                              .command = static_cast<std::uint16_t>(Command::region_write),
                              .size = 40,
                              .flags = 0,
                              .error = 0},
                       RegionAccess{.offset = 0, .region = 0, .count = 8}, std::uint64_t{1});
    const Fd event(::eventfd(0, 0));
    for (std::size_t size = 0; size < message.size(); ++size) {
        OddClient client(path);
        if (size % 2 == 0)
            client.shake_hands();
        if (size > 0)
            client.send_bytes(std::span(message).first(size), {event.get()});
    }
    OddClient last(path);
    last.shake_hands();
    EXPECT_EQ(last.read(0, 0, 8), 0U) << "no message was whole";
}

TEST_F(SimClients, OneThatDoesNotReadItsAnswersDoesNotHoldUpTheEnd) {
    sim::ServerThread server(model, options());
    OddClient client(path);
    client.shake_hands();
    const int small = 4096;
    ::setsockopt(client.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    const timeval limit{.tv_sec = 0, .tv_usec = 100000};
    ::setsockopt(client.fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    for (int i = 0; i < 200; ++i)
        client.send(Command::region_read, bytes_of(RegionAccess{.offset = 0, .region = 1, .count = 0x2000}));
    const auto begin = std::chrono::steady_clock::now();
    server.stop();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
}

TEST_F(SimClients, OneThatDoesNotAnswerADmaMessageDoesNotHoldUpTheEnd) {
    sim::ServerThread server(model, options());
    OddClient client(path);
    client.shake_hands();
    const DmaMap map{.argument_size = 32, .flags = 3, .offset = 0, .address = 0, .size = page};
    EXPECT_EQ(client.ask(Command::dma_map, map).error(), 0);
    client.write(config, 4, 2, 4);
    client.send(Command::region_write,
                bytes_in_order(RegionAccess{.offset = TestModel::command, .region = 0, .count = 8},
                               std::uint64_t{TestModel::dma_read}));
    EXPECT_TRUE(client.receive()) << "the question";
    const auto begin = std::chrono::steady_clock::now();
    server.stop();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
}

TEST_F(SimClients, OneThatDoesNotReadItsAnswersIsLeft) {
    sim::ServerThread server(model, options(50ms));
    OddClient client(path);
    client.shake_hands();
    const timeval limit{.tv_sec = 0, .tv_usec = 10000};
    ::setsockopt(client.fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    for (int i = 0; i < 500; ++i)
        client.send(Command::region_read, bytes_of(RegionAccess{.offset = 0, .region = 1, .count = 0x2000}));
    // It does not hang up either: the next one comes as soon as the server has given it up.
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!noted("the client is gone: it does not read the answers"))
        ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    OddClient next(path);
    next.shake_hands();
    EXPECT_TRUE(next.works());
}

TEST_F(SimClients, OneThatDoesNotAnswerDmaMessagesIsLeft) {
    sim::ServerThread server(model, options(50ms));
    OddClient client(path);
    client.shake_hands();
    const DmaMap map{.argument_size = 32, .flags = 3, .offset = 0, .address = 0, .size = page};
    EXPECT_EQ(client.ask(Command::dma_map, map).error(), 0);
    client.write(config, 4, 2, 4);
    client.send(Command::region_write,
                bytes_in_order(RegionAccess{.offset = TestModel::command, .region = 0, .count = 8},
                               std::uint64_t{TestModel::dma_read}));
    EXPECT_TRUE(client.receive()) << "the question";
    EXPECT_TRUE(client.closed());
    EXPECT_TRUE(noted("the client is gone: it does not answer DMA messages"));
}

/// Messages that are well framed and random otherwise: the server answers each, or closes.
TEST_F(SimClients, RandomMessagesDoNoHarm) {
    sim::ServerThread server(model, options(50ms));
    std::mt19937_64 random(20);  // NOLINT(bugprone-random-generator-seed): the same messages every time
    const Fd file(::memfd_create("client", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), 16 * page), 0);
    const Fd event(::eventfd(0, EFD_NONBLOCK));
    const auto pick = [&random](std::uint64_t below) { return random() % below; };
    OddClient client(path);
    client.shake_hands();
    for (int i = 0; i < 20000; ++i) {
        const auto command = static_cast<Command>(1 + pick(19));
        // Small numbers where sizes, indices and flags are, now and then a wild one.
        Bytes body(pick(12) * 4 + (pick(20) == 0 ? pick(4) : 0));
        for (std::size_t word = 0; word + 4 <= body.size(); word += 4) {
            const std::uint64_t wild = pick(8) == 0 ? random() : pick(3) == 0 ? pick(16) * page : pick(64);
            std::memcpy(body.data() + word, &wild, 4);
        }
        // A mapping without memory behind it would be asked for, and this client does not answer.
        const bool memory = command == Command::dma_map;
        if (memory)
            client.send(command, body, {file.get()});
        else if (pick(4) == 0)
            client.send(command, body, {event.get(), event.get()});
        else
            client.send(command, body);
        const auto answer = client.receive();
        if (answer)
            EXPECT_EQ(answer->header.message_id, client.next_id);
        else
            client = OddClient(path), client.shake_hands();
    }
    EXPECT_TRUE(client.works());
}

TEST_F(SimClients, OneThatShortensItsMemoryDoesNotEndTheServer) {
    sim::ServerThread server(model, options());
    OddClient client(path);
    client.shake_hands();
    const Fd file(::memfd_create("client", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), 16 * page), 0);
    const DmaMap map{.argument_size = 32, .flags = 3, .offset = 0, .address = 0, .size = 16 * page};
    EXPECT_EQ(client.ask(Command::dma_map, map, {file.get()}).error(), 0);
    EXPECT_TRUE(client.works());  // so it is mapped now
    ASSERT_EQ(::ftruncate(file.get(), 0), 0);
    client.write(config, 4, 2, 4);
    client.write(0, 32, 8, 16 * page);
    client.write(0, TestModel::command, 8, TestModel::dma_read_big);
    EXPECT_EQ(client.read(0, 40, 8), 0U);
}

TEST_F(SimClients, OneThatUsesUpTheDescriptorsIsLeftAndTheNextServed) {
    sim::ServerThread server(model, options());
    OddClient client(path);
    client.shake_hands();
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const Fd event(::eventfd(0, 0));
    // The next free number is the limit: nothing more can be received.
    const rlimit full{.rlim_cur = static_cast<rlim_t>(event.get() + 1), .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &full), 0);
    const SetInterrupts set{.argument_size = 20,
                            .flags = set_flag::data_eventfd | set_flag::action_trigger,
                            .index = 0,
                            .start = 0,
                            .count = 1};
    client.send(Command::set_interrupts, bytes_of(set), {event.get()});
    EXPECT_TRUE(client.closed());
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    OddClient next(path);
    next.shake_hands();
    EXPECT_TRUE(next.works());
}

// ---- what the device does on its own ----

TEST_F(SimClients, TimersRunBetweenMessagesAndBetweenClients) {
    sim::ServerThread server(model, options());
    {
        OddClient client(path);
        client.shake_hands();
        client.write(0, TestModel::command, 8, TestModel::later);
        EXPECT_TRUE(becomes(client, 24, 1));
        EXPECT_EQ(client.ask(Command::device_reset).error(), 0);
        client.write(0, TestModel::command, 8, TestModel::later);
    }
    OddClient next(path);
    next.shake_hands();
    EXPECT_TRUE(becomes(next, 24, 1));
}

TEST_F(SimClients, ADoorbellInSharedMemoryIsSeenWithoutAMessage) {
    sim::ServerThread server(model, options());
    OddClient client(path);
    client.shake_hands();
    const RegionInfo asked{
        .argument_size = 64, .flags = 0, .index = 0, .capability_offset = 0, .size = 0, .offset = 0};
    const Answer info = client.ask(Command::region_info, asked);
    ASSERT_EQ(info.descriptors.size(), 1U);
    void* const mapped = ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, info.descriptors[0].get(),
                                TestModel::doorbell);
    ASSERT_NE(mapped, MAP_FAILED);
    auto& doorbell = *static_cast<volatile std::uint32_t*>(mapped);
    client.write(0, TestModel::command, 8, TestModel::watch);
    const auto rung = [&doorbell] {
        doorbell = 5;
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        while (doorbell != 0)
            if (std::chrono::steady_clock::now() > deadline)
                return false;
        return true;
    };
    EXPECT_TRUE(rung());
    std::this_thread::sleep_for(20ms);  // long enough for the server to look only now and then
    EXPECT_TRUE(rung());
    EXPECT_EQ(client.read(0, 48, 8), 10U);
    ::munmap(mapped, page);
}

TEST_F(SimClients, WithoutSharedMemoryADoorbellComesByMessage) {
    sim::ServerOptions messages_only = options();
    messages_only.share_memory = false;
    sim::ServerThread server(model, messages_only);
    OddClient client(path);
    client.shake_hands();
    const RegionInfo asked{
        .argument_size = 64, .flags = 0, .index = 0, .capability_offset = 0, .size = 0, .offset = 0};
    const Answer info = client.ask(Command::region_info, asked);
    EXPECT_TRUE(info.descriptors.empty());
    client.write(0, TestModel::command, 8, TestModel::watch);
    client.write(0, TestModel::doorbell, 4, 5);
    EXPECT_TRUE(becomes(client, 48, 5));
}

// ---- start and stop ----

TEST_F(SimClients, TheSocketIsForThisUserAndGoesWithTheServer) {
    {
        const sim::ServerThread server(model, options());
        struct stat status{};
        ASSERT_EQ(::lstat(path.c_str(), &status), 0);
        EXPECT_EQ(status.st_mode, S_IFSOCK | 0600U);
    }
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(SimClients, AStaleSocketIsReplacedAndALiveOneIsNot) {
    {
        // Moved away, the socket's file outlives its server, as that of a killed one does.
        const sim::ServerThread first(model, options());
        std::filesystem::rename(path, directory.path("moved"));
    }
    std::filesystem::rename(directory.path("moved"), path);
    ASSERT_TRUE(std::filesystem::is_socket(path));
    const sim::ServerThread second(model, options());
    TestModel other;
    EXPECT_ERROR(sim::ServerThread(other, options()), ErrorKind::busy,
                 ("cannot listen on " + path.string() + ": another server listens there; choose another path")
                     .c_str());
    EXPECT_TRUE(std::filesystem::is_socket(path));
}

TEST_F(SimClients, WhatIsNoSocketIsLeftAlone) {
    std::ofstream(path) << "precious";
    EXPECT_ERROR(sim::ServerThread(model, options()), ErrorKind::busy,
                 ("cannot listen on " + path.string() +
                  ": something that is no socket lies there; choose another path")
                     .c_str());
    EXPECT_TRUE(std::filesystem::is_regular_file(path));
}

TEST_F(SimClients, PathsThatDoNotFitAreRefused) {
    EXPECT_THROW(sim::ServerThread(model, {.socket = "", .log = {}}), Error);
    EXPECT_THROW(sim::ServerThread(model, {.socket = std::string(108, 'x'), .log = {}}), Error);
    EXPECT_THROW(sim::ServerThread(model, {.socket = directory.path("a/b"), .log = {}}), Error);
}

TEST_F(SimClients, AServerStopsBeforeItServesAndWhileAClientWaits) {
    {
        sim::Server early(model, options());
        early.stop();
        early.serve();
    }
    sim::ServerThread server(model, options());
    OddClient client(path);
    client.shake_hands();
    server.stop();
    EXPECT_TRUE(client.closed());
}

}  // namespace
}  // namespace outboard::test
