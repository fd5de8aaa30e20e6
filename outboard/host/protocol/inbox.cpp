#include "outboard/host/protocol/inbox.hpp"

#include "outboard/base/error.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>

namespace outboard::hosting {

namespace {

// Whoever sends more than that without waiting for answers has lost its way.
constexpr std::size_t most_packets = 64;

}  // namespace

Inbox::Inbox(RunLoop& loop, PacketSocket socket, Handler handler)
    : loop_(&loop),
      socket_(std::move(socket)),
      handler_(std::move(handler)),
      came_(::eventfd(0, EFD_CLOEXEC)),
      reading_(read()) {
    if (!came_)
        throw_errno(errno, "make", "an eventfd for messages");
    reading_.start();
}

/// All that is there. Throws Error, at the end of the socket too.
void Inbox::receive() {
    for (std::optional<Packet> packet = socket_.receive(); packet; packet = socket_.receive()) {
        if (handler_(*packet))
            continue;
        if (packets_.size() >= most_packets)
            throw_errno(ENOBUFS, "queue a message of", "another process");
        packets_.push_back(std::move(*packet));
        ::eventfd_write(came_.get(), 1);
    }
}

Task<void> Inbox::read() {
    try {
        for (;;) {
            const int result = co_await loop_->poll(socket_.fd(), POLLIN);
            if (result < 0)
                throw_errno(-result, "hear from", "another process");
            receive();
        }
    } catch (const Cancelled&) {
        throw;
    } catch (...) {
        end_ = std::current_exception();
    }
    ::eventfd_write(came_.get(), 1);
}

Task<Packet> Inbox::next() {
    while (packets_.empty()) {
        if (end_)
            std::rethrow_exception(end_);
        std::uint64_t count = 0;
        const int result = co_await loop_->event(came_.get(), count);
        if (result < 0)
            throw_errno(-result, "wait for", "a message of another process");
    }
    Packet packet = std::move(packets_.front());
    packets_.pop_front();
    co_return packet;
}

std::vector<Packet> Inbox::drain() {
    try {
        receive();
    } catch (const Error&) {
        // Its end, as a rule; what came before it counts.
    }
    std::vector<Packet> all(std::make_move_iterator(packets_.begin()),
                            std::make_move_iterator(packets_.end()));
    packets_.clear();
    return all;
}

}  // namespace outboard::hosting
