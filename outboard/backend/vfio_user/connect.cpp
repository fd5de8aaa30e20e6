#include "outboard/backend/vfio_user/connect.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

namespace outboard::vfio_user {

namespace {

[[noreturn]] void throw_refused(int error, const std::string& path, const std::string& name) {
    ErrorParts parts{.kind = errno_kind(error),
                     .action = "open",
                     .subject = name,
                     .cause = errno_text(error),
                     .remedy = {}};
    switch (error) {
        case ENOENT:
            parts.cause = fmt::format("there is no socket {}", path);
            parts.remedy = "start the server that offers the device first";
            break;
        case ECONNREFUSED:
            parts.kind = ErrorKind::not_found;
            parts.cause = fmt::format("nobody listens on {}", path);
            parts.remedy = "start the server that offers the device first";
            break;
        case EAGAIN:
            parts.kind = ErrorKind::busy;
            parts.cause = "the server takes no further connection";
            parts.remedy = "another client has the device: end that one first";
            break;
        case EACCES:
            parts.remedy = fmt::format("let your user write to {}", path);
            break;
        default:
            break;
    }
    throw Error(std::move(parts));
}

}  // namespace

Fd connect_to(const std::string& path, const std::string& name, Duration limit) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        throw Error(
            {.kind = ErrorKind::usage,
             .action = "open",
             .subject = name,
             .cause = fmt::format("the path of a socket has 1 to {} bytes", sizeof address.sun_path - 1),
             .remedy = {}});
    std::ranges::copy(path, address.sun_path);
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket)
        throw_errno(errno, "create a socket for", name);
    // While the server's queue of clients is full, connect waits as long as a send would.
    const auto microseconds = std::max<long>(std::chrono::ceil<std::chrono::microseconds>(limit).count(), 1);
    const timeval wait{.tv_sec = microseconds / 1000000, .tv_usec = microseconds % 1000000};
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0)
        throw_errno(errno, "limit the time to open", name);
    int result = 0;
    do
        result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        throw_refused(errno, path, name);
    return socket;
}

}  // namespace outboard::vfio_user
