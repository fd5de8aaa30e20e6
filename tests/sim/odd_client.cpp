#include "tests/sim/odd_client.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

namespace outboard::test {

using namespace vfio_user;

void Answer::fail(const char* text) {
    ADD_FAILURE() << text;
}

int Answer::error() const {
    if ((header.flags & header_flag::error) == 0)
        return 0;
    return body.empty() && header.error != 0 ? static_cast<int>(header.error) : -1;
}

OddClient::OddClient(const std::filesystem::path& socket)
    : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
        << std::strerror(errno);
    const timeval limit{.tv_sec = 10, .tv_usec = 0};
    EXPECT_EQ(::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    EXPECT_EQ(::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
}

void OddClient::send_bytes(std::span<const std::byte> bytes, std::initializer_list<int> descriptors) {
    iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(253 * sizeof(int))> control{};
    if (descriptors.size() > 0) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
        std::memcpy(CMSG_DATA(header), std::data(descriptors), descriptors.size() * sizeof(int));
    }
    // A server that has closed is seen when the answer is wanted.
    static_cast<void>(::sendmsg(socket_.get(), &message, MSG_NOSIGNAL));
}

void OddClient::send(Command command, std::span<const std::byte> body, std::initializer_list<int> descriptors,
                     std::uint32_t flags) {
    const Header header{.message_id = ++next_id,
                        .command = static_cast<std::uint16_t>(command),
                        .size = static_cast<std::uint32_t>(sizeof(Header) + body.size()),
                        .flags = flags,
                        .error = 0};
    Bytes all = bytes_in_order(header);
    all.insert(all.end(), body.begin(), body.end());
    send_bytes(all, descriptors);
}

bool OddClient::receive_exactly(std::span<std::byte> bytes, std::vector<Fd>& descriptors) {
    while (!bytes.empty()) {
        iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(64 * sizeof(int))> control{};
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t count = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
        if (count < 0 && errno == EAGAIN)
            ADD_FAILURE() << "the server does not answer";
        if (count <= 0)
            return false;
        for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
             header = CMSG_NXTHDR(&message, header)) {
            std::vector<int> numbers((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            std::memcpy(numbers.data(), CMSG_DATA(header), numbers.size() * sizeof(int));
            for (const int number : numbers)
                descriptors.emplace_back(number);
        }
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return true;
}

std::optional<Answer> OddClient::receive() {
    Answer answer;
    if (!receive_exactly(std::as_writable_bytes(std::span(&answer.header, 1)), answer.descriptors))
        return std::nullopt;
    if (answer.header.size < sizeof(Header)) {
        ADD_FAILURE() << "a reply is smaller than its header";
        return std::nullopt;
    }
    answer.body.resize(answer.header.size - sizeof(Header));
    if (!receive_exactly(answer.body, answer.descriptors))
        return std::nullopt;
    return answer;
}

Answer OddClient::ask(Command command, const Bytes& body, std::initializer_list<int> descriptors) {
    send(command, body, descriptors);
    auto answer = receive();
    if (!answer) {
        ADD_FAILURE() << "the server has closed the connection";
        return {};
    }
    EXPECT_EQ(answer->header.message_id, next_id);
    EXPECT_EQ(answer->header.command, static_cast<std::uint16_t>(command));
    EXPECT_EQ(answer->header.flags & ~header_flag::error, header_flag::type_reply);
    EXPECT_GE(answer->error(), 0) << "an error comes with its number and without a body";
    return std::move(*answer);
}

void OddClient::shake_hands(std::string_view capabilities) {
    Bytes body = bytes_in_order(Version{.major = 0, .minor = 1});
    const std::string text = "{\"capabilities\":" + std::string(capabilities) + "}";
    const auto characters = std::as_bytes(std::span(text.c_str(), text.size() + 1));
    body.insert(body.end(), characters.begin(), characters.end());
    EXPECT_EQ(ask(Command::version, body).error(), 0);
}

std::uint64_t OddClient::read(std::uint32_t region, std::uint64_t offset, std::uint32_t width) {
    const Answer answer =
        ask(Command::region_read, RegionAccess{.offset = offset, .region = region, .count = width});
    EXPECT_EQ(answer.error(), 0);
    std::uint64_t value = 0;
    if (answer.body.size() == sizeof(RegionAccess) + width)
        std::memcpy(&value, answer.body.data() + sizeof(RegionAccess), width);
    else
        ADD_FAILURE() << "a read gave " << answer.body.size() << " bytes";
    return value;
}

void OddClient::write(std::uint32_t region, std::uint64_t offset, std::uint32_t width, std::uint64_t value) {
    Bytes body = bytes_in_order(RegionAccess{.offset = offset, .region = region, .count = width}, value);
    body.resize(sizeof(RegionAccess) + width);
    EXPECT_EQ(ask(Command::region_write, body).error(), 0);
}

bool OddClient::works() {
    return ask(Command::device_info,
               DeviceInfo{.argument_size = 16, .flags = 0, .regions = 0, .interrupts = 0})
               .error() == 0;
}

bool OddClient::closed() {
    for (int messages = 0; messages < 2; ++messages)
        if (!receive())
            return true;
    return false;
}

}  // namespace outboard::test
