#include "outboard/sim/session.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/base/error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include <fmt/format.h>

namespace outboard::sim {

namespace {

using namespace vfio_user;

constexpr MessageLimits limits{.bytes = max_transfer_bytes + 4096, .descriptors = 253};
constexpr std::size_t max_early_messages = 256;
constexpr std::size_t max_early_bytes = 4 * limits.bytes;

}  // namespace

Session::Session(PciModel& model, Fd socket, Duration patience, bool share_memory)
    : model_(model), patience_(patience), socket_(std::move(socket), limits), handler_(model, share_memory) {
    model_.dma().set_messages(this);
}

Session::~Session() {
    model_.dma().set_messages(nullptr);
    model_.dma().clear();
    model_.interrupts().drop_eventfds();
}

std::string Session::end_cause(int error) const {
    if (error == ECONNRESET)
        return "it has left";
    if (error == EPROTO)
        return *problem_ != 0 ? problem_ : socket_.problem();
    return errno_text(error);
}

int Session::step(TimePoint deadline) noexcept {
    if (ended_ != 0)
        return ended_;
    if (!early_.empty()) {
        Early early = std::move(early_.front());
        early_.pop_front();
        early_bytes_ -= early.body.size();
        early.message.body = early.body;
        return answer(early.message);
    }
    if (const int error = socket_.receive(message_, deadline); error != 0)
        return error;
    // A reply to nothing that was asked says nothing.
    return message_.is_reply() ? 0 : answer(message_);
}

int Session::answer(Message& request) noexcept {
    const Header asked = request.header;
    const bool wanted = !request.no_reply();
    const Reply reply = handler_.handle(request);
    request.descriptors.clear();
    if (ended_ != 0)
        return ended_;
    if (wanted) {
        Header header{.message_id = asked.message_id,
                      .command = asked.command,
                      .size = 0,
                      .flags = header_flag::type_reply,
                      .error = 0};
        int error = 0;
        if (reply.error != 0) {
            header.flags |= header_flag::error;
            header.error = static_cast<std::uint32_t>(reply.error);
            error = socket_.send(header, {}, {}, Clock::now() + patience_);
        } else {
            const std::span descriptors(&reply.descriptor, reply.descriptor >= 0 ? 1 : 0);
            error = socket_.send(header, {reply.body}, descriptors, Clock::now() + patience_);
        }
        if (error != 0)
            return end(error, "it does not read the answers");
    }
    model_.dma().finish_adding();
    if (handler_.refused())
        return end(EPROTO, "no version of the protocol could be agreed on");
    return 0;
}

/// The stream cannot be used any more. A time that is over is a problem of the client's: nothing waits for it
/// again.
int Session::end(int error, const char* problem) noexcept {
    if (error == ETIMEDOUT || error == EPROTO) {
        problem_ = problem;
        error = EPROTO;
    }
    return ended_ = error;
}

// ---- memory by message ----

bool Session::read(std::uint64_t iova, std::span<std::byte> data) noexcept {
    while (!data.empty()) {
        const std::span<std::byte> part = data.first(std::min<std::size_t>(
            data.size(), std::min(handler_.client().transfer_bytes, max_transfer_bytes)));
        Message reply;
        const DmaAccessMessage access{.address = iova, .count = part.size()};
        if (ask(Command::dma_read, access, {}, reply) != 0 || reply.error() != 0)
            return false;
        const auto answered = read_at<DmaAccessMessage>(reply.body, 0);
        if (!answered || answered->count != part.size() ||
            reply.body.size() - sizeof(DmaAccessMessage) != part.size())
            return false;
        std::memcpy(part.data(), reply.body.data() + sizeof(DmaAccessMessage), part.size());
        data = data.subspan(part.size());
        iova += part.size();
    }
    return true;
}

bool Session::write(std::uint64_t iova, std::span<const std::byte> data) noexcept {
    while (!data.empty()) {
        const std::span<const std::byte> part = data.first(std::min<std::size_t>(
            data.size(), std::min(handler_.client().transfer_bytes, max_transfer_bytes)));
        Message reply;
        const DmaAccessMessage access{.address = iova, .count = part.size()};
        if (ask(Command::dma_write, access, part, reply) != 0 || reply.error() != 0)
            return false;
        data = data.subspan(part.size());
        iova += part.size();
    }
    return true;
}

/// Sends a command to the client and waits for its reply, whose body is valid until the next use of the
/// socket.
int Session::ask(Command command, const DmaAccessMessage& access, std::span<const std::byte> data,
                 Message& reply) noexcept {
    if (ended_ != 0)
        return ended_;
    const TimePoint deadline = Clock::now() + patience_;
    const Header header{.message_id = ++last_id_,
                        .command = std::to_underlying(command),
                        .size = 0,
                        .flags = header_flag::type_command,
                        .error = 0};
    int error = socket_.send(header, {bytes_of(access), data}, {}, deadline);
    if (error == 0) {
        try {
            error = await_reply(header, deadline, reply);
        } catch (const std::bad_alloc&) {
            error = ENOMEM;
        }
    }
    // After a time-out too: what it answers later would be taken for the answer to another question.
    return error == 0 ? 0 : end(error, "it does not answer DMA messages");
}

int Session::await_reply(const Header& asked, TimePoint deadline, Message& reply) {
    for (;;) {
        if (const int error = socket_.receive(reply, deadline); error != 0)
            return error;
        if (!reply.is_reply()) {
            if (const int error = keep(reply); error != 0)
                return error;
        } else if (reply.header.message_id == asked.message_id && reply.header.command == asked.command) {
            return 0;
        }
    }
}

int Session::keep(Message& message) {
    if (early_.size() >= max_early_messages || message.body.size() > max_early_bytes - early_bytes_)
        return EPROTO;
    Early early;
    early.body.assign(message.body.begin(), message.body.end());
    early.message = std::move(message);
    early_bytes_ += early.body.size();
    early_.push_back(std::move(early));
    return 0;
}

}  // namespace outboard::sim
