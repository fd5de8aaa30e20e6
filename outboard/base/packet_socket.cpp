#include "outboard/base/packet_socket.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>

namespace outboard {

namespace {

constexpr std::size_t control_bytes = CMSG_SPACE(PacketSocket::max_descriptors * sizeof(int));

/// Takes over the descriptors that came with a message.
std::vector<Fd> take_descriptors(msghdr& message) {
    std::vector<Fd> descriptors;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            descriptors.emplace_back(fd);
        }
    }
    return descriptors;
}

[[noreturn]] void throw_closed() {
    throw Error({.kind = ErrorKind::not_found,
                 .action = "hear from",
                 .subject = "another process",
                 .cause = "it has closed its end of the socket",
                 .remedy = {}});
}

}  // namespace

PacketSocket::PacketSocket(Fd socket) : fd_(std::move(socket)) {
    const int flags = ::fcntl(fd_.get(), F_GETFL);
    if (flags < 0 || ::fcntl(fd_.get(), F_SETFL, flags | O_NONBLOCK) != 0)
        throw_errno(errno, "use", "a socket to another process");
}

std::pair<PacketSocket, Fd> PacketSocket::make_pair() {
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        throw_errno(errno, "make", "a pair of sockets");
    Fd here(ends[0]);
    Fd there(ends[1]);
    return {PacketSocket(std::move(here)), std::move(there)};
}

void PacketSocket::send(std::string_view text, std::span<const int> descriptors) {
    if (text.empty() || text.size() > max_bytes || descriptors.size() > max_descriptors)
        throw_errno(EMSGSIZE, "send a message to", "another process");
    iovec data{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, control_bytes> control{};
    if (!descriptors.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
    }
    ssize_t sent = 0;
    do
        sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return;
    if (errno == EPIPE || errno == ECONNRESET)
        throw_closed();
    throw_errno(errno, "send a message to", "another process",
                errno == EAGAIN ? "it does not read what it is sent" : "");
}

std::optional<Packet> PacketSocket::receive() {
    buffer_.resize(max_bytes);
    iovec data{.iov_base = buffer_.data(), .iov_len = buffer_.size()};
    alignas(cmsghdr) std::array<char, control_bytes> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t count = 0;
    do
        count = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
    while (count < 0 && errno == EINTR);
    if (count < 0 && errno == EAGAIN)
        return std::nullopt;
    if (count == 0 || (count < 0 && errno == ECONNRESET))
        throw_closed();
    if (count < 0)
        throw_errno(errno, "hear from", "another process");
    Packet packet;
    packet.descriptors = take_descriptors(message);
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        throw_errno(EMSGSIZE, "read a message of", "another process");
    packet.text.assign(buffer_.data(), static_cast<std::size_t>(count));
    return packet;
}

}  // namespace outboard
