#include "outboard/supervisor/control_server.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t longest_line = 64 * 1024;
constexpr std::size_t most_clients = 32;
constexpr Duration longest_silence = 30s;

sockaddr_un address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.empty() || text.size() >= sizeof address.sun_path)
        throw Error(
            {.kind = ErrorKind::usage,
             .action = "listen on",
             .subject = text,
             .cause = fmt::format("the path of a socket has 1 to {} bytes", sizeof address.sun_path - 1),
             .remedy = {}});
    std::ranges::copy(text, address.sun_path);
    return address;
}

bool somebody_listens(const sockaddr_un& address) {
    const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return probe && ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

Fd listen_on(const std::filesystem::path& path, const std::string& group) {
    const sockaddr_un address = address_of(path);
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (somebody_listens(address))
        throw Error({.kind = ErrorKind::busy,
                     .action = "listen on",
                     .subject = path.string(),
                     .cause = "another outboardd does",
                     .remedy = "end that one first, or give this one another --socket"});
    ::unlink(path.c_str());
    Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener || ::fchmod(listener.get(), 0660) != 0 ||
        ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw_errno(errno, "listen on", path.string());
    // Before anybody can connect.
    const auto* const found = ::getgrnam(group.c_str());
    if (::chmod(path.c_str(), found ? 0660 : 0600) != 0 ||
        (found && ::chown(path.c_str(), static_cast<uid_t>(-1), found->gr_gid) != 0) ||
        ::listen(listener.get(), 16) != 0)
        throw_errno(errno, "listen on", path.string());
    return listener;
}

Task<int> read_some(RunLoop& loop, int fd, std::span<std::byte> buffer) {
    co_return co_await loop.read(fd, buffer);
}

}  // namespace

ControlServer::ControlServer(RunLoop& loop, std::filesystem::path path, const std::string& group, Obey obey)
    : loop_(&loop),
      path_(std::move(path)),
      obey_(std::move(obey)),
      listener_(listen_on(path_, group)),
      accepting_(accept()) {
    accepting_.start();
}

ControlServer::~ControlServer() {
    ::unlink(path_.c_str());
}

Task<void> ControlServer::accept() {
    for (;;) {
        const int result = co_await loop_->poll(listener_.get(), POLLIN);
        if (result < 0)
            throw_errno(-result, "listen on", path_.string());
        Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (client && clients_ < most_clients)
            loop_->spawn(attend(std::move(client)));
        else if (!client && errno != EAGAIN)
            // No descriptors are left: those who connect wait until there are.
            co_await loop_->sleep_for(100ms);
    }
}

Task<void> ControlServer::attend(Fd client) {
    ++clients_;
    try {
        std::string waiting;
        for (bool more = true; more;) {
            Task<bool> answering = answer_next(client.get(), waiting);
            more = co_await std::move(answering);
        }
    } catch (const std::exception&) {
        // It is silent, or gone, or sends no lines: that is its own affair.
    }
    --clients_;
}

/// Answers one line; false when the client has closed.
Task<bool> ControlServer::answer_next(int client, std::string& waiting) {
    std::size_t end = 0;
    while ((end = waiting.find('\n')) == std::string::npos) {
        std::array<std::byte, 4096> chunk;
        Task<int> reading = read_some(*loop_, client, chunk);
        Task<int> limited = with_deadline(*loop_, std::move(reading), longest_silence, "a request");
        const int count = co_await std::move(limited);
        if (count <= 0 || waiting.size() > longest_line)
            co_return false;
        waiting.append(reinterpret_cast<const char*>(chunk.data()), static_cast<std::size_t>(count));
    }
    const std::string line = waiting.substr(0, end);
    waiting.erase(0, end + 1);
    std::string answer;
    try {
        Task<nlohmann::json> obeying = obey_(parse_request(line));
        const nlohmann::json result = co_await std::move(obeying);
        answer = good_answer(result);
    } catch (const Error& error) {
        answer = bad_answer(error);
    }
    Task<void> writing = write_all(client, std::move(answer));
    co_await std::move(writing);
    co_return true;
}

Task<void> ControlServer::write_all(int client, std::string text) {
    std::string_view rest = text;
    while (!rest.empty()) {
        const int count = co_await loop_->write(client, std::as_bytes(std::span(rest)));
        if (count <= 0)
            throw_errno(-count, "answer", "a client");
        rest.remove_prefix(static_cast<std::size_t>(count));
    }
}

}  // namespace outboard
