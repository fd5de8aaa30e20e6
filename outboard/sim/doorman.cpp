#include "outboard/sim/doorman.hpp"

#include "outboard/backend/vfio_user/message.hpp"
#include "outboard/base/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace outboard::sim {

namespace {

using namespace std::chrono_literals;

/// Clients that were gone before their turn came; what they have sent is still done.
constexpr std::size_t longest_queue = 64;

Fd new_event() {
    Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event)
        throw_errno(errno, "create", "an eventfd");
    return event;
}

void signal_event(const Fd& event) noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(::write(event.get(), &one, sizeof one));
}

bool hung_up(int socket) noexcept {
    pollfd watched{.fd = socket, .events = POLLRDHUP, .revents = 0};
    return ::poll(&watched, 1, 0) == 1;
}

}  // namespace

Doorman::Doorman(int listener, std::function<void(std::string_view)> log)
    : listener_(listener),
      log_(std::move(log)),
      event_(new_event()),
      stop_event_(new_event()),
      thread_([this] { run(); }) {}

Doorman::~Doorman() {
    stop();
}

void Doorman::stop() noexcept {
    signal_event(stop_event_);
}

bool Doorman::stopped() const {
    const std::scoped_lock lock(mutex_);
    return stopped_;
}

/// Until `fd` is readable, or the time is over (-1: never). False when a stop was asked for.
bool Doorman::wait(int fd, int milliseconds) const noexcept {
    std::array<pollfd, 2> watched{pollfd{.fd = stop_event_.get(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = fd, .events = POLLIN, .revents = 0}};
    ::poll(watched.data(), watched.size(), milliseconds);
    return watched[0].revents == 0;
}

void Doorman::run() {
    constexpr int pause_ms = 100;
    while (wait(listener_, -1)) {
        Fd client(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
        if (client)
            admit(std::move(client));
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            wait(-1, pause_ms);  // the connection stays in the queue meanwhile
    }
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    if (served_ >= 0)
        ::shutdown(served_, SHUT_RDWR);
    signal_event(event_);
}

void Doorman::admit(Fd client) {
    {
        const std::scoped_lock lock(mutex_);
        const bool all_gone =
            (served_ < 0 || hung_up(served_)) &&
            std::ranges::all_of(waiting_, [](const Fd& other) { return hung_up(other.get()); });
        if (all_gone && waiting_.size() < longest_queue) {
            waiting_.push_back(std::move(client));
            signal_event(event_);
            return;
        }
    }
    refuse(std::move(client));
}

/// Its version message is answered, so that it learns why; one that sends none is closed without a word.
void Doorman::refuse(Fd client) {
    constexpr Duration patience = 200ms;
    if (log_)
        log_("another client was refused: the device is in use");
    vfio_user::MessageSocket socket(std::move(client));
    vfio_user::Message message;
    if (socket.receive(message, Clock::now() + patience) != 0)
        return;
    const vfio_user::Header header{
        .message_id = message.header.message_id,
        .command = message.header.command,
        .size = 0,
        .flags = vfio_user::header_flag::type_reply | vfio_user::header_flag::error,
        .error = EBUSY};
    static_cast<void>(socket.send(header, {}, {}, Clock::now() + patience));
}

Fd Doorman::take() {
    const std::scoped_lock lock(mutex_);
    if (!stopped_) {
        std::uint64_t count = 0;
        static_cast<void>(::read(event_.get(), &count, sizeof count));
    }
    if (waiting_.empty())
        return Fd();
    Fd next = std::move(waiting_.front());
    waiting_.pop_front();
    served_ = next.get();
    return next;
}

void Doorman::done() {
    const std::scoped_lock lock(mutex_);
    served_ = -1;
}

}  // namespace outboard::sim
