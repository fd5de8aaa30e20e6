#include "outboard/sim/socket_path.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/runtime/clock.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace outboard::sim {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

sockaddr_un address_of(const fs::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string& text = path.native();
    if (text.empty() || text.size() >= sizeof address.sun_path)
        throw Error({.kind = ErrorKind::usage,
                     .action = "listen on",
                     .subject = fmt::format("'{}'", text),
                     .cause = fmt::format("a socket's path has 1 to {} bytes", sizeof address.sun_path - 1),
                     .remedy = "choose a shorter one"});
    std::memcpy(address.sun_path, text.data(), text.size());
    return address;
}

Fd new_socket(const fs::path& path) {
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket)
        throw_errno(errno, "create the socket", path.native());
    return socket;
}

const sockaddr* generic(const sockaddr_un& address) noexcept {
    return reinterpret_cast<const sockaddr*>(&address);
}

/// Removes a socket that nobody listens on.
void remove_stale(const fs::path& path, const sockaddr_un& address) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT)
            return;
        throw_errno(errno, "listen on", path.native());
    }
    const auto refuse = [&path](const char* cause) {
        throw Error({.kind = ErrorKind::busy,
                     .action = "listen on",
                     .subject = path.native(),
                     .cause = cause,
                     .remedy = "choose another path"});
    };
    if (!S_ISSOCK(status.st_mode))
        refuse("something that is no socket lies there");
    const Fd probe = new_socket(path);
    // Without waiting: the queue of a server that is busy may be full.
    ::fcntl(probe.get(), F_SETFL, O_NONBLOCK);
    if (::connect(probe.get(), generic(address), sizeof address) == 0 || errno == EAGAIN)
        refuse("another server listens there");
    if (errno != ECONNREFUSED)
        throw_errno(errno, "listen on", path.native());
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        throw_errno(errno, "remove the stale socket", path.native());
}

/// Servers hold such a lock for an instant only; a program that keeps it must not keep them for ever.
void lock(const Fd& directory, const fs::path& path) {
    const TimePoint limit = Clock::now() + 2s;
    while (::flock(directory.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            throw_errno(errno, "listen on", path.native());
        if (Clock::now() >= limit)
            throw Error({.kind = ErrorKind::busy,
                         .action = "listen on",
                         .subject = path.native(),
                         .cause = "its directory is locked by another program",
                         .remedy = "end that program or choose another path"});
        std::this_thread::sleep_for(1ms);
    }
}

}  // namespace

SocketPath::SocketPath(fs::path path) : path_(std::move(path)), socket_(new_socket(path_)) {
    constexpr unsigned only_this_user = 0600;
    constexpr int backlog = 16;
    const sockaddr_un address = address_of(path_);
    // Of two servers that find the same stale socket, one removes it: the directory is locked meanwhile.
    const fs::path parent = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
    const Fd directory = open_file(parent, O_RDONLY | O_DIRECTORY);
    lock(directory, path_);
    remove_stale(path_, address);
    // Set before the file exists: it is never open to others.
    if (::fchmod(socket_.get(), only_this_user) != 0 ||
        ::bind(socket_.get(), generic(address), sizeof address) != 0 || ::listen(socket_.get(), backlog) != 0)
        throw_errno(errno, "listen on", path_.native());
    struct stat status{};
    if (::lstat(path_.c_str(), &status) != 0)
        throw_errno(errno, "listen on", path_.native());
    device_ = status.st_dev;
    inode_ = status.st_ino;
}

SocketPath::~SocketPath() {
    struct stat status{};
    if (::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_)
        ::unlink(path_.c_str());
}

}  // namespace outboard::sim
