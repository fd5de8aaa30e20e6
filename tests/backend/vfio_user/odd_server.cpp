#include "tests/backend/vfio_user/odd_server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace outboard::vfio_user::test {

void RawSocket::send(std::span<const std::byte> bytes, std::span<const int> descriptors) const {
    std::array<char, 2048> control{};
    while (!bytes.empty()) {
        iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        if (!descriptors.empty()) {
            message.msg_control = control.data();
            message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
            cmsghdr* const header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
            std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
        }
        const ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
        descriptors = {};
    }
}

void RawSocket::shut_down() const {
    ::shutdown(fd_.get(), SHUT_RDWR);
}

bool RawSocket::receive(Request& request) const {
    request = {};
    const auto read = [&](void* to, std::size_t size) {
        std::array<char, 2048> control{};
        auto* next = static_cast<std::byte*>(to);
        while (size > 0) {
            iovec part{.iov_base = next, .iov_len = size};
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            const ssize_t count = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
            if (count <= 0)
                return false;
            for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
                 header = CMSG_NXTHDR(&message, header)) {
                std::vector<int> numbers((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
                std::memcpy(numbers.data(), CMSG_DATA(header), numbers.size() * sizeof(int));
                for (const int number : numbers)
                    request.descriptors.emplace_back(number);
            }
            next += count;
            size -= static_cast<std::size_t>(count);
        }
        return true;
    };
    if (!read(&request.header, sizeof(Header)) || request.header.size < sizeof(Header))
        return false;
    request.body.resize(request.header.size - sizeof(Header));
    return read(request.body.data(), request.body.size());
}

OddServer::OddServer() {
    static std::atomic<unsigned> number = 0;
    path_ = testing::TempDir() + "odd-" + std::to_string(::getpid()) + "-" + std::to_string(number++);
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_LT(path_.size(), sizeof address.sun_path);
    std::ranges::copy(path_, address.sun_path);
    ::unlink(path_.c_str());
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);

    regions[0].content.resize(4096);
    regions[7].content.resize(256);
    constexpr std::uint32_t events = interrupt_flag::eventfd;
    interrupts[0] = {.argument_size = 16,
                     .flags = events | interrupt_flag::maskable | interrupt_flag::automasked,
                     .index = 0,
                     .count = 1};
    interrupts[1] = {.argument_size = 16, .flags = events, .index = 1, .count = 1};
    interrupts[2] = {.argument_size = 16, .flags = events, .index = 2, .count = 5};
}

OddServer::~OddServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    {
        const std::lock_guard lock(mutex_);
        if (client_)
            client_->shut_down();
    }
    join();
    ::unlink(path_.c_str());
}

void OddServer::join() {
    if (thread_.joinable())
        thread_.join();
}

void OddServer::start() {
    thread_ = std::thread([this] { serve(); });
}

void OddServer::serve() {
    Fd connected(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connected)
        return;
    {
        const std::lock_guard lock(mutex_);
        client_ = std::make_unique<RawSocket>(std::move(connected));
    }
    for (Request request; client_->receive(request);) {
        {
            const std::lock_guard lock(mutex_);
            log_.emplace_back(request.command(), request.body);
            counts_.emplace_back(request.command(), request.descriptors.size());
        }
        const auto handler = handlers_.find(request.command());
        if (handler != handlers_.end())
            handler->second(request);
        else
            usual(request);
        if (request.command() == Command::set_interrupts && !request.descriptors.empty()) {
            const auto set = from_bytes<SetInterrupts>(request.body);
            for (std::uint32_t i = 0; i < request.descriptors.size(); ++i)
                eventfds[{set.index, set.start + i}] = std::move(request.descriptors[i]);
        }
    }
    client_->shut_down();
}

Header OddServer::reply_header(const Request& request) {
    Header header = request.header;
    header.flags = header_flag::type_reply;
    header.size = sizeof header;
    return header;
}

void OddServer::reply(const Request& request, const Bytes& body, std::span<const int> descriptors) const {
    Header header = reply_header(request);
    header.size = static_cast<std::uint32_t>(sizeof header + body.size());
    client_->send(joined({to_bytes(header), body}), descriptors);
}

void OddServer::reply_error(const Request& request, std::uint32_t error) const {
    Header header = reply_header(request);
    header.flags |= header_flag::error;
    header.error = error;
    client_->send(to_bytes(header));
}

void OddServer::usual(const Request& request) {
    switch (request.command()) {
        case Command::version:
            return reply(request, joined({to_bytes(Version{.major = 0, .minor = 1}), to_bytes(capabilities_),
                                          Bytes(capabilities_.empty() ? 0 : 1)}));
        case Command::device_info:
            return reply(request, to_bytes(DeviceInfo{.argument_size = 16,
                                                      .flags = device_flag::pci | device_flag::reset,
                                                      .regions = 9,
                                                      .interrupts = 5}));
        case Command::region_info:
            return usual_region_info(request);
        case Command::interrupt_info:
            return reply(request, to_bytes(interrupts[from_bytes<InterruptInfo>(request.body).index]));
        case Command::region_read:
        case Command::region_write:
            return usual_access(request);
        case Command::region_write_multi:
            return usual_write_multi(request);
        case Command::dma_unmap:
            return reply(request, request.body);
        default:
            return reply(request, {});
    }
}

void OddServer::usual_region_info(const Request& request) const {
    const auto asked = from_bytes<RegionInfo>(request.body);
    RegionInfo info{.argument_size = sizeof(RegionInfo),
                    .flags = 0,
                    .index = asked.index,
                    .capability_offset = 0,
                    .size = 0,
                    .offset = 0};
    const auto found = regions.find(asked.index);
    if (found == regions.end())
        return reply(request, to_bytes(info));
    const RegionSetup& setup = found->second;
    info.flags = setup.flags;
    info.size = setup.content.size();
    info.offset = setup.offset;
    info.argument_size = static_cast<std::uint32_t>(sizeof info + setup.capabilities.size());
    if (!setup.capabilities.empty()) {
        info.flags |= region_flag::capabilities;
        info.capability_offset = sizeof info;
    }
    if (info.argument_size > asked.argument_size)
        return reply(request, to_bytes(info));
    reply(request, joined({to_bytes(info), setup.capabilities}), setup.descriptors);
}

void OddServer::usual_access(const Request& request) {
    const auto access = from_bytes<RegionAccess>(request.body);
    RegionSetup& setup = regions[access.region];
    if (access.offset > setup.content.size() || access.count > setup.content.size() - access.offset)
        return reply_error(request, EINVAL);
    const auto place = setup.content.begin() + static_cast<std::ptrdiff_t>(access.offset);
    if (request.command() == Command::region_read)
        return reply(request, joined({to_bytes(access), Bytes(place, place + access.count)}));
    std::copy(request.body.begin() + sizeof access, request.body.end(), place);
    reply(request, to_bytes(access));
}

void OddServer::usual_write_multi(const Request& request) {
    const auto writes = from_bytes<WriteMulti>(request.body);
    for (std::size_t i = 0; i < writes.writes; ++i) {
        const auto start =
            request.body.begin() + static_cast<std::ptrdiff_t>(sizeof writes + i * sizeof(WriteMultiEntry));
        const auto entry = from_bytes<WriteMultiEntry>(Bytes(start, start + sizeof(WriteMultiEntry)));
        std::memcpy(regions[entry.region].content.data() + entry.offset, entry.data, entry.count);
    }
    reply(request, to_bytes(writes));
}

std::vector<std::pair<Command, Bytes>> OddServer::log() const {
    const std::lock_guard lock(mutex_);
    return log_;
}

std::vector<Bytes> OddServer::bodies(Command command) const {
    const std::lock_guard lock(mutex_);
    std::vector<Bytes> found;
    for (const auto& [which, body] : log_)
        if (which == command)
            found.push_back(body);
    return found;
}

std::vector<std::size_t> OddServer::descriptor_counts(Command command) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::size_t> found;
    for (const auto& [which, count] : counts_)
        if (which == command)
            found.push_back(count);
    return found;
}

}  // namespace outboard::vfio_user::test
