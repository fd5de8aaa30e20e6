#include "outboard/supervisor/control_client.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

namespace outboard {

namespace {

/// Longer than outboardd takes to stop a device that is used.
constexpr timeval patience{.tv_sec = 300, .tv_usec = 0};

Fd connect(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.size() >= sizeof address.sun_path)
        throw_errno(ENAMETOOLONG, "ask outboardd on", text);
    std::ranges::copy(text, address.sun_path);
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0)
        throw_errno(errno, "make", "a socket");
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        return socket;
    const int error = errno;
    if (error == ENOENT || error == ECONNREFUSED)
        throw Error({.kind = ErrorKind::not_found,
                     .action = "ask",
                     .subject = "outboardd",
                     .cause = "it does not run: nobody listens on " + text,
                     .remedy = "start it as root: `systemctl start outboardd`, or `outboardd`"});
    throw_errno(error, "ask outboardd on", text,
                error == EACCES ? "run this as root, or as a member of the group outboard" : "");
}

}  // namespace

nlohmann::json ask_supervisor(const Request& request, const std::filesystem::path& path) {
    const Fd socket = connect(path);
    const std::string question = to_line(request);
    if (::send(socket.get(), question.data(), question.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(question.size()))
        throw_errno(errno, "ask outboardd on", path.string());
    std::string answer;
    std::array<char, 4096> chunk;
    while (answer.find('\n') == std::string::npos) {
        const ssize_t count = ::recv(socket.get(), chunk.data(), chunk.size(), 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            throw_errno(count < 0 ? errno : EPIPE, "hear the answer of outboardd on", path.string());
        answer.append(chunk.data(), static_cast<std::size_t>(count));
    }
    return result_of(answer);
}

bool supervises(const std::string& device, const std::filesystem::path& path) {
    try {
        return !ask_supervisor({.order = Order::status, .device = device}, path).empty();
    } catch (const Error&) {
        return false;
    }
}

}  // namespace outboard
