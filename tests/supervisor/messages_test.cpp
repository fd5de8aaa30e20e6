#include "outboard/host/protocol/messages.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/packet_socket.hpp"

#include <array>
#include <random>
#include <string>
#include <variant>

#include "tests/support/expect_error.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace outboard::hosting {
namespace {

void expect_failure(const auto& action, ErrorKind kind, const char* part) {
    const auto error = test::error_of(action);
    EXPECT_EQ(error.kind(), kind);
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
}

template <class T>
T sent_to_host(const T& message) {
    return std::get<T>(decode_to_host(encode(ToHost(message))));
}

template <class T>
T sent_from_host(const T& message) {
    return std::get<T>(decode_from_host(encode(FromHost(message))));
}

TEST(Messages, OrdersComeAsTheyWereSent) {
    const Enter enter = sent_to_host(Enter{.module = "/usr/lib/outboard/board.so",
                                           .driver = "board",
                                           .user = 998,
                                           .group = 997,
                                           .disks = 3,
                                           .queues = 2,
                                           .device_socket = true});
    EXPECT_EQ(enter.module, "/usr/lib/outboard/board.so");
    EXPECT_EQ(enter.driver, "board");
    EXPECT_EQ(enter.user, 998U);
    EXPECT_EQ(enter.group, 997U);
    EXPECT_EQ(enter.disks, 3U);
    EXPECT_EQ(enter.queues, 2U);
    EXPECT_TRUE(enter.device_socket);

    Take take{.device = "0000:01:00.0",
              .driver = "nvme",
              .disks = {2, 0},
              .queues = 3,
              .queue_depth = 64,
              .write_cache = false,
              .timeout_seconds = 9,
              .dma = false,
              .completion = CompletionMode::poll};
    const Take back = sent_to_host(take);
    EXPECT_EQ(back.device, take.device);
    EXPECT_EQ(back.driver, take.driver);
    EXPECT_EQ(back.disks, take.disks);
    EXPECT_EQ(back.queues, 3);
    EXPECT_EQ(back.queue_depth, 64);
    EXPECT_EQ(back.write_cache, false);
    EXPECT_EQ(back.timeout_seconds, 9U);
    EXPECT_FALSE(back.dma);
    EXPECT_EQ(back.completion, CompletionMode::poll);
    take.write_cache.reset();
    EXPECT_FALSE(sent_to_host(take).write_cache);

    EXPECT_EQ(sent_to_host(Arena{.bytes = 1ULL << 40, .iova = 1ULL << 47}).iova, 1ULL << 47);
    const Serve serve = sent_to_host(Serve{.disk = 1,
                                           .device_id = 7,
                                           .queues = 2,
                                           .queue_depth = 128,
                                           .max_io_bytes = 524288,
                                           .flags = 1ULL << 63,
                                           .stable_writes = true});
    EXPECT_EQ(serve.flags, 1ULL << 63);
    EXPECT_TRUE(serve.stable_writes);
    EXPECT_EQ(sent_to_host(Ping{.number = 5}).number, 5U);
    sent_to_host(Cease{});
    sent_to_host(Finish{});
}

TEST(Messages, AnswersComeAsTheyWereSent) {
    EXPECT_EQ(sent_from_host(Hello{}).version, protocol_version);
    EXPECT_EQ(sent_from_host(Needs{.driver = "ide", .bytes = 5, .address_bits = 32}).address_bits, 32U);
    Disks disks{.disks = {{.number = 3, .info = {}}}, .start_us = 12};
    disks.disks[0].info.model = "QEMU \xff";
    disks.disks[0].info.capacity = 1ULL << 50;
    const Disks back = sent_from_host(disks);
    EXPECT_EQ(back.disks.at(0).number, 3U);
    EXPECT_EQ(back.disks.at(0).info.capacity, 1ULL << 50);
    EXPECT_TRUE(back.disks.at(0).info.model.starts_with("QEMU "));
    EXPECT_EQ(sent_from_host(Serving{.disk = 1}).disk, 1U);
    EXPECT_EQ(sent_from_host(Pong{.number = 6}).number, 6U);
    EXPECT_EQ(sent_from_host(Report{.line = "a\nb"}).line, "a\nb");
    sent_from_host(Ceasing{});
    sent_from_host(Finished{});
    const Error error({.kind = ErrorKind::io, .action = "do", .subject = "it", .cause = "no", .remedy = {}});
    EXPECT_STREQ(error_of(sent_from_host(describe(error))).what(), error.what());
    EXPECT_EQ(error_of(Failed{.kind = 77, .action = {}, .subject = {}, .cause = {}, .remedy = {}}).kind(),
              ErrorKind::failed);
}

TEST(Messages, NoiseIsAnErrorAtMost) {
    std::mt19937 random(1);
    const std::string good = encode(FromHost(Disks{.disks = {{.number = 3, .info = {}}}, .start_us = 12}));
    for (int i = 0; i < 2000; ++i) {
        std::string text = good;
        for (auto changes = random() % 4; changes-- > 0;)
            text[random() % text.size()] = static_cast<char>(random());
        try {
            static_cast<void>(decode_from_host(text));
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::failed);
        }
    }
    for (const char* const text : {"", "{}", "[]", R"({"message":"take"})", R"({"message":"finished","a":1)"})
        EXPECT_THROW(decode_from_host(text), Error) << text;
}

TEST(Messages, ADiskThatCannotBeIsRefused) {
    BlockInfo info;
    info.capacity = 1 << 20;
    EXPECT_NO_THROW(require_sound(info, "it"));
    const auto refused = [&](auto change) {
        BlockInfo wrong = info;
        change(wrong);
        expect_failure([&] { static_cast<void>(require_sound(wrong, "it")); }, ErrorKind::failed,
                       "its driver describes it wrongly");
    };
    refused([](BlockInfo& wrong) { wrong.block_size = 0; });
    refused([](BlockInfo& wrong) { wrong.block_size = 513; });
    refused([](BlockInfo& wrong) { wrong.block_size = 1U << 31; });
    refused([](BlockInfo& wrong) { wrong.physical_block_size = 3; });
    refused([](BlockInfo& wrong) { wrong.capacity = 0; });
    refused([](BlockInfo& wrong) { wrong.capacity = 1000; });
    refused([](BlockInfo& wrong) { wrong.max_queues = 0; });
    refused([](BlockInfo& wrong) { wrong.queue_depth = 0; });
    refused([](BlockInfo& wrong) { wrong.model = std::string(1000, 'a'); });
}

TEST(PacketSocket, MessagesComeWholeAndWithTheirDescriptors) {
    auto [here, there_fd] = PacketSocket::make_pair();
    PacketSocket there(std::move(there_fd));
    EXPECT_FALSE(there.receive());
    std::array<int, 2> ends{-1, -1};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const Fd read_end(ends[0]);
    Fd write_end(ends[1]);
    here.send("one", std::array{write_end.get()});
    here.send("two");
    write_end.reset();
    auto packet = there.receive();
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->text, "one");
    ASSERT_EQ(packet->descriptors.size(), 1U);
    EXPECT_EQ(::write(packet->descriptors[0].get(), "x", 1), 1);
    EXPECT_EQ(there.receive()->text, "two");
    EXPECT_FALSE(there.receive());
}

TEST(PacketSocket, TheOtherEndsWaysAreErrors) {
    auto [here, there_fd] = PacketSocket::make_pair();
    expect_failure(
        [&] {
            for (;;)
                here.send(std::string(1000, 'a'));
        },
        ErrorKind::failed, "it does not read what it is sent");
    EXPECT_THROW(here.send({}), Error);
    EXPECT_THROW(here.send(std::string(PacketSocket::max_bytes + 1, 'a')), Error);
    there_fd.reset();
    EXPECT_THROW(here.receive(), Error);
    expect_failure([&] { static_cast<void>(here.send("a")); }, ErrorKind::not_found, "it has closed its end");
}

}  // namespace
}  // namespace outboard::hosting
