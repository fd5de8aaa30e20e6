#include "outboard/backend/vfio_user/message.hpp"
#include "outboard/base/bytes.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace outboard::vfio_user {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

TimePoint soon() {
    return Clock::now() + 10s;
}

/// What is there now.
constexpr TimePoint at_once = TimePoint::min();

Bytes pattern(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>(i * 31 + i / 251);
    return bytes;
}

Header command(Command which, std::uint16_t id = 1) {
    return {
        .message_id = id, .command = static_cast<std::uint16_t>(which), .size = 0, .flags = 0, .error = 0};
}

Header header_of_size(std::uint32_t size) {
    Header header = command(Command::region_read);
    header.size = size;
    return header;
}

class VfioUserMessage : public testing::Test {
  protected:
    VfioUserMessage() {
        const MessageLimits limits{.bytes = 1 << 20, .descriptors = 8};
        std::array<int, 2> ends{};
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        one.emplace(Fd(ends[0]), limits);
        two.emplace(Fd(ends[1]), limits);
    }

    /// Raw bytes from `one`, descriptors beside them.
    void write_raw(std::span<const std::byte> bytes, std::span<const int> descriptors = {}) const {
        iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
        msghdr raw{};
        raw.msg_iov = &part;
        raw.msg_iovlen = 1;
        Bytes control(CMSG_SPACE(descriptors.size_bytes()));
        if (!descriptors.empty()) {
            raw.msg_control = control.data();
            raw.msg_controllen = control.size();
            cmsghdr* const header = CMSG_FIRSTHDR(&raw);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
            std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
        }
        ASSERT_EQ(::sendmsg(one->fd(), &raw, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }

    std::optional<MessageSocket> one;
    std::optional<MessageSocket> two;
    Message message;
};

/// Two numbers for one open file.
bool same_file(int left, int right) {
    struct stat left_status{};
    struct stat right_status{};
    return ::fstat(left, &left_status) == 0 && ::fstat(right, &right_status) == 0 &&
           left_status.st_ino == right_status.st_ino && left_status.st_dev == right_status.st_dev;
}

Fd memory_file(const char* name) {
    return Fd(::memfd_create(name, MFD_CLOEXEC));
}

TEST_F(VfioUserMessage, HeaderPartsAndSizeArrive) {
    const Bytes data = pattern(100);
    const RegionAccess access{.offset = 7, .region = 2, .count = 100};
    ASSERT_EQ(one->send(command(Command::region_write, 42), {bytes_of(access), data}, {}, soon()), 0);
    ASSERT_EQ(two->receive(message, soon()), 0);
    EXPECT_EQ(message.command(), Command::region_write);
    EXPECT_EQ(message.header.message_id, 42);
    EXPECT_EQ(message.header.size, sizeof(Header) + sizeof access + data.size());
    EXPECT_FALSE(message.is_reply());
    ASSERT_EQ(message.body.size(), sizeof access + data.size());
    EXPECT_EQ(read_at<RegionAccess>(message.body, 0)->region, 2U);
    EXPECT_TRUE(std::ranges::equal(message.body.subspan(sizeof access), data));
    EXPECT_FALSE(two->has_buffered());
}

TEST_F(VfioUserMessage, AHeaderAlone) {
    ASSERT_EQ(one->send(command(Command::device_reset), {}, {}, soon()), 0);
    ASSERT_EQ(two->receive(message, soon()), 0);
    EXPECT_TRUE(message.body.empty());
    EXPECT_EQ(message.header.size, sizeof(Header));
}

TEST_F(VfioUserMessage, SeveralMessagesInOneReadComeOneByOne) {
    for (std::uint16_t id = 0; id < 5; ++id)
        ASSERT_EQ(one->send(command(Command::region_write, id), {pattern(id * 900U)}, {}, soon()), 0);
    for (std::uint16_t id = 0; id < 5; ++id) {
        ASSERT_EQ(two->receive(message, soon()), 0);
        EXPECT_EQ(message.header.message_id, id);
        EXPECT_TRUE(std::ranges::equal(message.body, pattern(id * 900U)));
    }
    EXPECT_EQ(two->receive(message, at_once), ETIMEDOUT);
}

TEST_F(VfioUserMessage, EveryCutOfAMessageIsPutTogether) {
    Bytes raw(sizeof(Header) + 20);
    const Header header = header_of_size(static_cast<std::uint32_t>(raw.size()));
    std::memcpy(raw.data(), &header, sizeof header);
    for (std::size_t cut = 1; cut < raw.size(); ++cut) {
        write_raw(std::span(raw).first(cut));
        ASSERT_EQ(two->receive(message, at_once), ETIMEDOUT) << cut;
        EXPECT_TRUE(two->has_buffered());
        write_raw(std::span(raw).subspan(cut));
        ASSERT_EQ(two->receive(message, soon()), 0) << cut;
        EXPECT_EQ(message.body.size(), 20U);
    }
}

TEST_F(VfioUserMessage, DescriptorsArriveOwnedAndClosedOnExec) {
    const Fd file = memory_file("one");
    const Fd other = memory_file("two");
    const std::array numbers{file.get(), other.get()};
    ASSERT_EQ(one->send(command(Command::dma_map), {}, numbers, soon()), 0);
    ASSERT_EQ(two->receive(message, soon()), 0);
    ASSERT_EQ(message.descriptors.size(), 2U);
    EXPECT_TRUE(same_file(message.descriptors[0].get(), file.get()));
    EXPECT_TRUE(same_file(message.descriptors[1].get(), other.get()));
    EXPECT_NE(::fcntl(message.descriptors[0].get(), F_GETFD) & FD_CLOEXEC, 0);
    // The next message has none, and those nobody wanted are closed.
    const int number = message.descriptors[0].get();
    ASSERT_EQ(one->send(command(Command::dma_map), {}, {}, soon()), 0);
    ASSERT_EQ(two->receive(message, soon()), 0);
    EXPECT_TRUE(message.descriptors.empty());
    EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST_F(VfioUserMessage, DescriptorsBelongToTheirOwnMessage) {
    const Fd file = memory_file("one");
    const std::array number{file.get()};
    ASSERT_EQ(one->send(command(Command::region_read, 1), {pattern(10)}, {}, soon()), 0);
    ASSERT_EQ(one->send(command(Command::dma_map, 2), {pattern(32)}, number, soon()), 0);
    ASSERT_EQ(one->send(command(Command::region_read, 3), {pattern(10)}, {}, soon()), 0);
    ASSERT_EQ(one->send(command(Command::dma_map, 4), {pattern(32)}, number, soon()), 0);
    for (unsigned id = 1; id <= 4; ++id) {
        ASSERT_EQ(two->receive(message, soon()), 0);
        EXPECT_EQ(message.header.message_id, id);
        EXPECT_EQ(message.descriptors.size(), id % 2 == 0 ? 1U : 0U) << id;
    }
}

TEST_F(VfioUserMessage, MoreDescriptorsThanTheLimitAreRefusedAndClosed) {
    const Fd file = memory_file("one");
    const std::vector<int> numbers(9, file.get());
    ASSERT_EQ(one->send(command(Command::dma_map), {}, numbers, soon()), 0);
    EXPECT_EQ(two->receive(message, soon()), EPROTO);
    EXPECT_STREQ(two->problem(), "a message comes with more descriptors than the limit");
}

TEST_F(VfioUserMessage, DescriptorsWithEveryByteOfAMessageThatNeverEndsAreRefused) {
    const Fd file = memory_file("one");
    const std::vector<int> numbers(200, file.get());
    const Header header = header_of_size(100000);
    write_raw(bytes_of(header), numbers);
    write_raw(pattern(1), numbers);
    EXPECT_EQ(two->receive(message, at_once), EPROTO);
}

TEST_F(VfioUserMessage, DescriptorsThatWereCutOffAreAnError) {
    const Fd file = memory_file("one");
    const std::vector<int> numbers(4, file.get());
    ASSERT_EQ(one->send(command(Command::dma_map), {}, numbers, soon()), 0);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    const int result = two->receive(message, at_once);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(result, EPROTO);
    EXPECT_TRUE(std::string_view(two->problem()).contains("cut off"));
}

/// A header alone, then a header of a size that cannot be.
class VfioUserMessageSize : public VfioUserMessage, public testing::WithParamInterface<std::uint32_t> {};

TEST_P(VfioUserMessageSize, IsRefused) {
    write_raw(bytes_of(header_of_size(sizeof(Header))));
    write_raw(bytes_of(header_of_size(GetParam())));
    EXPECT_EQ(two->receive(message, at_once), 0);
    EXPECT_EQ(two->receive(message, at_once), EPROTO);
    EXPECT_TRUE(std::string_view(two->problem()).starts_with("a message states a size"));
}

INSTANTIATE_TEST_SUITE_P(Sizes, VfioUserMessageSize,
                         testing::Values(0U, 1U, 15U, (1U << 20) + 1, 0x80000000U, 0xffffffffU));

TEST_F(VfioUserMessage, ATypeThatIsNeitherCommandNorReplyIsRefused) {
    Header header = header_of_size(sizeof(Header));
    header.flags = 2;
    write_raw(bytes_of(header));
    EXPECT_EQ(two->receive(message, at_once), EPROTO);
}

TEST_F(VfioUserMessage, ALargeMessageGoesBothWaysAtOnce) {
    // Larger than any socket buffer: each end can only finish when the other takes in what it is sent.
    const Bytes data = pattern(1 << 19);
    std::thread other([&] {
        ASSERT_EQ(two->send(command(Command::dma_write), {data}, {}, soon()), 0);
        Message got;
        ASSERT_EQ(two->receive(got, soon()), 0);
        EXPECT_TRUE(std::ranges::equal(got.body, data));
    });
    ASSERT_EQ(one->send(command(Command::region_write), {data}, {}, soon()), 0);
    ASSERT_EQ(one->receive(message, soon()), 0);
    EXPECT_TRUE(std::ranges::equal(message.body, data));
    other.join();
}

TEST_F(VfioUserMessage, APeerThatClosesIsTold) {
    one.reset();
    EXPECT_EQ(two->receive(message, soon()), ECONNRESET);
    EXPECT_EQ(two->send(command(Command::device_reset), {}, {}, soon()), ECONNRESET);
}

TEST_F(VfioUserMessage, APeerThatClosesWithinAMessageIsTold) {
    write_raw(bytes_of(header_of_size(100)));
    one.reset();
    EXPECT_EQ(two->receive(message, soon()), ECONNRESET);
}

TEST_F(VfioUserMessage, WaitsHaveADeadline) {
    EXPECT_EQ(two->receive(message, Clock::now() + 1ms), ETIMEDOUT);
    EXPECT_EQ(two->receive(message, Clock::now() - 1s), ETIMEDOUT);
    const Bytes data = pattern(1 << 20);
    EXPECT_EQ(one->send(command(Command::region_write), {data}, {}, Clock::now() + 1ms), ETIMEDOUT);
}

TEST_F(VfioUserMessage, AShortDeadlineAfterALongOneHolds) {
    ASSERT_EQ(one->send(command(Command::device_reset), {}, {}, soon()), 0);
    ASSERT_EQ(two->receive(message, Clock::now() + 1h), 0);
    EXPECT_EQ(two->receive(message, Clock::now() + 1ms), ETIMEDOUT);
}

TEST_F(VfioUserMessage, ASocketThatSomebodyMadeNonBlockingStillWaits) {
    ASSERT_EQ(::fcntl(two->fd(), F_SETFL, O_NONBLOCK), 0);
    std::thread other([&] { ASSERT_EQ(one->send(command(Command::device_reset), {}, {}, soon()), 0); });
    EXPECT_EQ(two->receive(message, soon()), 0);
    other.join();
}

TEST(VfioUserMessageError, IsWhatTheReplySays) {
    Message message;
    EXPECT_EQ(message.error(), 0);
    message.header.error = EBUSY;  // without the flag it means nothing
    EXPECT_EQ(message.error(), 0);
    message.header.flags = header_flag::type_reply | header_flag::error;
    EXPECT_EQ(message.error(), EBUSY);
    for (const std::uint32_t odd : {0U, 4096U, 0xffffffffU}) {
        message.header.error = odd;
        EXPECT_EQ(message.error(), EIO);
    }
}

}  // namespace
}  // namespace outboard::vfio_user
