#include "outboard/backend/vfio_user/message.hpp"

#include "outboard/base/bytes.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>
#include <new>

#include <poll.h>
#include <sys/time.h>

namespace outboard::vfio_user {

namespace {

/// The kernel passes no more beside one message (SCM_MAX_FD).
constexpr std::size_t kernel_max_descriptors = 253;
constexpr std::size_t control_bytes = CMSG_SPACE(kernel_max_descriptors * sizeof(int));
constexpr std::size_t first_buffer_bytes = 4096;

/// Rounded up, so that a wait does not end before its deadline.
int milliseconds_until(TimePoint deadline, TimePoint now) noexcept {
    if (deadline == TimePoint::max())
        return -1;
    if (deadline <= now)
        return 0;
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
    return static_cast<int>(std::min<long>(rest, std::numeric_limits<int>::max()));
}

/// Puts `descriptors` beside a message; `control` has room for them.
void attach(msghdr& message, std::span<std::byte> control, std::span<const int> descriptors) noexcept {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
}

/// Leaves out the first `count` bytes of what is still to be sent.
void skip(msghdr& message, std::size_t count) noexcept {
    while (count > 0) {
        iovec& part = *message.msg_iov;
        const std::size_t step = std::min(count, part.iov_len);
        part.iov_base = static_cast<std::byte*>(part.iov_base) + step;
        part.iov_len -= step;
        count -= step;
        if (part.iov_len == 0) {
            ++message.msg_iov;
            --message.msg_iovlen;
        }
    }
}

int closed_or(int error) noexcept {
    return error == EPIPE ? ECONNRESET : error;
}

}  // namespace

int Message::error() const noexcept {
    if ((header.flags & header_flag::error) == 0)
        return 0;
    constexpr std::uint32_t last_errno = 4095;
    return header.error != 0 && header.error <= last_errno ? static_cast<int>(header.error) : EIO;
}

MessageSocket::MessageSocket(Fd socket, const MessageLimits& limits, Waiting waiting)
    : socket_(std::move(socket)), limits_(limits), waiting_(waiting), buffer_(first_buffer_bytes) {}

int MessageSocket::broken(const char* problem) noexcept {
    problem_ = problem;
    return EPROTO;
}

void MessageSocket::shut_down() const noexcept {
    ::shutdown(socket_.get(), SHUT_RDWR);
}

// ---- sending ----

int MessageSocket::send(Header header, std::initializer_list<std::span<const std::byte>> parts,
                        std::span<const int> descriptors, TimePoint deadline) noexcept {
    assert(parts.size() <= max_parts && descriptors.size() <= kernel_max_descriptors);
    std::array<iovec, 1 + max_parts> vectors;
    std::size_t count = 1;
    std::size_t size = sizeof header;
    for (const std::span<const std::byte>& part : parts) {
        if (part.empty())
            continue;
        vectors[count++] = {.iov_base = const_cast<std::byte*>(part.data()), .iov_len = part.size()};
        size += part.size();
    }
    if (size > std::numeric_limits<std::uint32_t>::max())
        return EMSGSIZE;
    header.size = static_cast<std::uint32_t>(size);
    vectors[0] = {.iov_base = &header, .iov_len = sizeof header};

    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    alignas(cmsghdr) std::array<std::byte, control_bytes> control;
    if (!descriptors.empty())
        attach(message, control, descriptors);
    for (;;) {
        const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            size -= static_cast<std::size_t>(sent);
            if (size == 0)
                return 0;
            skip(message, static_cast<std::size_t>(sent));
            // They went with the first byte.
            message.msg_control = nullptr;
            message.msg_controllen = 0;
        } else if (errno == EAGAIN) {
            if (const int error = wait_to_send(deadline); error != 0)
                return error;
        } else if (errno != EINTR) {
            return closed_or(errno);
        }
    }
}

int MessageSocket::wait_to_send(TimePoint deadline) {
    short happened = 0;
    const bool room = held_.size() < limits_.bytes;
    const auto events = static_cast<short>(POLLOUT | (room ? POLLIN : 0));
    if (const int error = wait_for(events, deadline, happened); error != 0)
        return error;
    if ((happened & (POLLOUT | POLLERR)) != 0 || (happened & POLLIN) == 0)
        return 0;
    try {
        const std::size_t before = held_.size();
        held_.resize(limits_.bytes);
        std::size_t count = 0;
        const int error = receive_some(std::span(held_).subspan(before), TimePoint::min(), false, count);
        held_.resize(before + count);
        return error == ETIMEDOUT ? 0 : error;
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
}

int MessageSocket::wait_for(short events, TimePoint deadline, short& happened) const noexcept {
    for (;;) {
        pollfd watched{.fd = socket_.get(), .events = events, .revents = 0};
        const int count = ::poll(&watched, 1, milliseconds_until(deadline, Clock::now()));
        if (count == 0)
            return ETIMEDOUT;
        happened = watched.revents;
        if (count > 0)
            return 0;
        if (errno != EINTR)
            return errno;
    }
}

// ---- receiving ----

int MessageSocket::receive(Message& message, TimePoint deadline) noexcept {
    message.descriptors.clear();
    message.body = {};
    begin_ += taken_;
    taken_ = 0;
    if (begin_ == end_)
        begin_ = end_ = 0;
    try {
        if (const int error = want(sizeof(Header), deadline); error != 0)
            return error;
        std::memcpy(&message.header, buffer_.data() + begin_, sizeof(Header));
        const std::size_t size = message.header.size;
        if (size < sizeof(Header))
            return broken("a message states a size smaller than its header");
        if (size > limits_.bytes)
            return broken("a message states a size above the limit");
        if ((message.header.flags & header_flag::type_mask) > header_flag::type_reply)
            return broken("a message is neither command nor reply");
        if (const int error = want(size, deadline); error != 0)
            return error;
        message.body = std::span(buffer_).subspan(begin_ + sizeof(Header), size - sizeof(Header));
        taken_ = size;
        handed_out_ += size;
        while (!arrived_.empty() && arrived_.front().position <= handed_out_) {
            message.descriptors.push_back(std::move(arrived_.front().descriptor));
            arrived_.pop_front();
        }
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
    if (message.descriptors.size() > limits_.descriptors)
        return broken("a message comes with more descriptors than the limit");
    return 0;
}

/// Has `size` bytes from begin_ on in the buffer.
int MessageSocket::want(std::size_t size, TimePoint deadline) {
    if (begin_ + size > buffer_.size()) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
        if (size > buffer_.size())
            buffer_.resize(size);
    }
    while (end_ - begin_ < size) {
        const std::span<std::byte> room = std::span(buffer_).subspan(end_);
        std::size_t count = 0;
        if (!held_.empty()) {
            count = std::min(held_.size(), room.size());
            std::memcpy(room.data(), held_.data(), count);
            held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(count));
        } else if (const int error = receive_some(room, deadline, true, count); error != 0) {
            return error;
        }
        end_ += count;
    }
    return 0;
}

int MessageSocket::receive_some(std::span<std::byte> room, TimePoint deadline, bool wait,
                                std::size_t& count) {
    for (;;) {
        const TimePoint now = wait ? Clock::now() : TimePoint::max();
        int flags = MSG_CMSG_CLOEXEC;
        if (waiting_ == Waiting::in_receive && now < deadline) {
            if (const int error = set_receive_limit(now, deadline); error != 0)
                return error;
        } else {
            flags |= MSG_DONTWAIT;
        }
        iovec vector{.iov_base = room.data(), .iov_len = room.size()};
        alignas(cmsghdr) std::array<std::byte, control_bytes> control;
        msghdr message{};
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t result = ::recvmsg(socket_.get(), &message, flags);
        if (result == 0)
            return ECONNRESET;
        if (result > 0) {
            count = static_cast<std::size_t>(result);
            received_ += count;
            return message.msg_controllen != 0 || (message.msg_flags & MSG_CTRUNC) != 0
                       ? take_descriptors(message)
                       : 0;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return errno;
        if (now >= deadline)
            return ETIMEDOUT;
        short happened = 0;
        if (const int error = wait_for(POLLIN, deadline, happened); error != 0)
            return error;
    }
}

int MessageSocket::take_descriptors(msghdr& header) {
    std::array<int, kernel_max_descriptors> numbers;
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const std::size_t count = std::min((part->cmsg_len - CMSG_LEN(0)) / sizeof(int), numbers.size());
        std::memcpy(numbers.data(), CMSG_DATA(part), count * sizeof(int));
        // Owned before anything can throw.
        std::array<Fd, kernel_max_descriptors> owned;
        for (std::size_t i = 0; i < count; ++i)
            owned[i].reset(numbers[i]);
        for (std::size_t i = 0; i < count; ++i)
            arrived_.push_back({.position = received_, .descriptor = std::move(owned[i])});
    }
    if ((header.msg_flags & MSG_CTRUNC) != 0)
        return broken("descriptors of a message were cut off (is the limit of open files reached?)");
    // A peer that sends descriptors with every byte of a message that never ends.
    if (arrived_.size() > limits_.descriptors + kernel_max_descriptors)
        return broken("a message comes with more descriptors than the limit");
    return 0;
}

/// Lets recvmsg give up about when `deadline` is over. Not set anew for each message: most have the same
/// time, and who wakes too early looks at the clock and waits for the rest.
int MessageSocket::set_receive_limit(TimePoint now, TimePoint deadline) noexcept {
    const bool unlimited = receive_limit_ == Duration::zero();
    if (deadline == TimePoint::max())
        return 0;
    const Duration rest = deadline - now;
    if (!unlimited && receive_limit_ <= rest + rest / 8)
        return 0;
    const auto microseconds = std::max<long>(std::chrono::ceil<std::chrono::microseconds>(rest).count(), 1);
    const timeval limit{.tv_sec = microseconds / 1000000, .tv_usec = microseconds % 1000000};
    if (::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0)
        return errno;
    receive_limit_ = rest;
    return 0;
}

}  // namespace outboard::vfio_user
