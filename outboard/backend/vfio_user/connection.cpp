#include "outboard/backend/vfio_user/connection.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/base/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

namespace outboard::vfio_user {

namespace {

/// While calls follow each other within this time, the service thread leaves the common socket alone.
constexpr int quiet_milliseconds = 5;

std::string end_reason(int error, const char* problem) {
    switch (error) {
        case ETIMEDOUT:
            return "the server did not answer in time";
        case ECONNRESET:
            return "the server has closed the connection";
        case EPROTO:
            return fmt::format("the server breaks the protocol: {}", problem);
        default:
            return errno_text(error);
    }
}

ErrorKind end_kind(int error) {
    switch (error) {
        case ETIMEDOUT:
            return ErrorKind::timed_out;
        case ECONNRESET:
            return ErrorKind::not_found;
        case EPROTO:
            return ErrorKind::io;
        default:
            return errno_kind(error);
    }
}

}  // namespace

Connection::Connection(Fd socket, std::string name, Duration limit)
    : name_(std::move(name)), limit_(limit), stop_(::eventfd(0, EFD_CLOEXEC)) {
    if (!stop_)
        throw_errno(errno, "create an eventfd for", name_);
    socket_.emplace(std::move(socket), MessageLimits{.bytes = client_max_transfer_bytes + 4096,
                                                     .descriptors = client_max_descriptors});
    agree(limit);
    // Signals are for the program's own threads.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    try {
        service_ = std::thread([this] { run_service(); });
    } catch (const std::system_error& failure) {
        error = failure.code().value();
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0)
        throw_errno(error, "start a thread for", name_);
}

Connection::~Connection() {
    ::eventfd_write(stop_.get(), 1);
    if (service_.joinable())
        service_.join();
}

void Connection::agree(Duration limit) {
    const Version version{.major = major_version, .minor = minor_version};
    const std::string proposal = version_proposal();
    Answer answer;
    const int error =
        ask({.command = Command::version, .parts = {bytes_of(version), std::as_bytes(std::span(proposal))}},
            answer, limit);
    if (error == ETIMEDOUT || error == ECONNRESET || error == EBUSY)
        throw Error({.kind = ErrorKind::busy,
                     .action = "open",
                     .subject = name_,
                     .cause = error == ETIMEDOUT ? "the server takes connections but does not answer"
                              : error == EBUSY   ? "the server says that it is busy"
                                                 : "the server closes the connection at once",
                     .remedy = "another client may have the device, and most servers take one at a time: "
                               "end that one first"});
    if (error != 0)
        throw_failure(error, "agree on a version of the protocol with");
    auto parsed = parse_version(answer.body, answer.descriptors.size());
    if (!parsed)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "open",
                     .subject = name_,
                     .cause = fmt::format("the server's word cannot be relied on: {}", parsed.error()),
                     .remedy = {}});
    server_ = *parsed;
    if (server_.twin_socket)
        // The server may keep a copy of it and set its options: never wait in it.
        twin_.emplace(
            std::move(answer.descriptors[*server_.twin_socket]),
            MessageLimits{.bytes = client_max_transfer_bytes + 4096, .descriptors = client_max_descriptors},
            MessageSocket::Waiting::in_poll);
}

// ---- calls ----

int Connection::exchange(const Call& call, std::span<std::byte> head, std::span<std::byte> data,
                         Duration limit) noexcept {
    const std::lock_guard lock(mutex_);
    int error = transact(call, message_, limit);
    if (error == 0) {
        if (message_.body.size() == head.size() + data.size()) {
            std::ranges::copy(message_.body.first(head.size()), head.begin());
            std::ranges::copy(message_.body.subspan(head.size()), data.begin());
        } else {
            error = EPROTO;
        }
    }
    serve_buffered();
    return error;
}

int Connection::ask(const Call& call, Answer& answer, Duration limit) {
    const std::lock_guard lock(mutex_);
    const int error = transact(call, message_, limit);
    if (error == 0) {
        answer.body.assign(message_.body.begin(), message_.body.end());
        answer.descriptors = std::move(message_.descriptors);
    }
    serve_buffered();
    return error;
}

/// With the mutex held; `answer` is valid until the next receive.
int Connection::transact(const Call& call, Message& answer, Duration limit) noexcept {
    if (ended())
        return ENODEV;
    calls_.store(calls_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    const TimePoint deadline = later(Clock::now(), limit);
    const std::uint16_t id = next_id_++;
    const Header header{.message_id = id,
                        .command = static_cast<std::uint16_t>(std::to_underlying(call.command)),
                        .size = 0,
                        .flags = header_flag::type_command,
                        .error = 0};
    if (const int error = socket_->send(header, call.parts, call.descriptors, deadline); error != 0)
        return end(error);
    for (;;) {
        if (const int error = socket_->receive(answer, deadline); error != 0)
            return end(error, socket_->problem());
        if (!answer.is_reply()) {
            if (const int error = serve(*socket_, answer); error != 0)
                return error;
            continue;
        }
        if (answer.header.message_id != id || answer.header.command != header.command)
            return end(EPROTO, "a reply belongs to no command");
        return answer.error();
    }
}

/// With the mutex held, or by the service thread on the twin socket.
int Connection::serve(MessageSocket& socket, const Message& message) noexcept {
    server_asks_.store(true, std::memory_order_relaxed);
    const int error = dma_.serve(socket, message, later(Clock::now(), limit_));
    return error != 0 ? end(error) : 0;
}

/// What came together with an answer: poll does not tell of it any more.
void Connection::serve_buffered() noexcept {
    while (!ended() && socket_->has_buffered()) {
        const int error = socket_->receive(message_, TimePoint::min());
        if (error == ETIMEDOUT)
            return;
        if (error != 0)
            end(error, socket_->problem());
        else if (message_.is_reply())
            end(EPROTO, "a reply belongs to no command");
        else
            static_cast<void>(serve(*socket_, message_));
    }
}

// ---- the end ----

/// Ends the connection; the first reason stays. Returns `error`.
int Connection::end(int error, const char* problem) noexcept {
    const std::lock_guard lock(end_mutex_);
    if (!ended()) {
        end_error_ = error;
        end_problem_ = problem;
        ended_.store(true, std::memory_order_release);
        socket_->shut_down();
        if (twin_)
            twin_->shut_down();
    }
    return error;
}

void Connection::throw_failure(int error, std::string_view action, std::string_view remedy) const {
    const std::lock_guard lock(end_mutex_);
    if (!ended())
        throw_errno(error, action, name_, remedy);
    throw Error({.kind = end_kind(end_error_),
                 .action = std::string(action),
                 .subject = name_,
                 .cause = end_reason(end_error_, end_problem_),
                 .remedy = {}});
}

// ---- commands of the server while nobody calls ----

void Connection::run_service() noexcept {
    while (twin_ ? serve_twin() : serve_idle())
        ;
}

/// Waits until `fd` (-1 for none) is readable, at most so long (-1: without end). False when this thread is
/// to end.
bool Connection::sleep(int fd, int milliseconds) const noexcept {
    std::array<pollfd, 2> watched{pollfd{.fd = stop_.get(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = fd, .events = POLLIN, .revents = 0}};
    // Interrupted by a signal it looks like a wake without a reason, which is harmless.
    static_cast<void>(::poll(watched.data(), watched.size(), milliseconds));
    return watched[0].revents == 0 && !ended();
}

bool Connection::serve_twin() noexcept {
    Message message;
    const int error = twin_->receive(message, TimePoint::min());
    if (error == ETIMEDOUT)
        return sleep(twin_->fd(), -1);
    if (error != 0)
        end(error, twin_->problem());
    else if (message.is_reply())
        end(EPROTO, "a reply comes on the twin socket");
    else
        static_cast<void>(serve(*twin_, message));
    return !ended();
}

bool Connection::serve_idle() noexcept {
    if (!sleep(socket_->fd(), -1))
        return false;
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock)
        return rest_until_quiet();
    if (ended())
        return false;
    const int error = socket_->receive(message_, TimePoint::min());
    if (error == ETIMEDOUT) {
        // A call has taken what woke this thread.
        lock.unlock();
        return rest_until_quiet();
    }
    if (error != 0)
        end(error, socket_->problem());
    else if (message_.is_reply())
        end(EPROTO, "a reply belongs to no command");
    else
        static_cast<void>(serve(*socket_, message_));
    serve_buffered();
    return !ended();
}

/// Returns once no call is under way; unless the server has commands of its own, once there has been none for
/// a while.
bool Connection::rest_until_quiet() noexcept {
    if (server_asks_.load(std::memory_order_relaxed)) {
        const std::lock_guard lock(mutex_);
        return !ended();
    }
    for (;;) {
        const std::uint32_t before = calls_.load(std::memory_order_relaxed);
        if (!sleep(-1, quiet_milliseconds))
            return false;
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (lock && calls_.load(std::memory_order_relaxed) == before)
            return true;
    }
}

}  // namespace outboard::vfio_user
