// Messages of the vfio-user protocol on a UNIX stream socket, descriptors beside them: what client and server
// share. A message of a few kilobytes is one system call in either direction.
#pragma once

#include "outboard/backend/vfio_user/protocol.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/runtime/clock.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <span>
#include <vector>

#include <sys/socket.h>

namespace outboard::vfio_user {

/// What a peer may send.
struct MessageLimits {
    std::size_t bytes = default_max_transfer_bytes + 4096;  ///< of a message with its header
    std::size_t descriptors = 64;                           ///< beside one message; at most 253
};

/// One message as it came.
struct Message {
    Header header{};
    /// What follows the header; valid until the socket's next receive(). The peer's word, but it cannot
    /// change any more.
    std::span<const std::byte> body;
    std::vector<Fd> descriptors;

    Command command() const noexcept { return static_cast<Command>(header.command); }
    bool is_reply() const noexcept {
        return (header.flags & header_flag::type_mask) == header_flag::type_reply;
    }
    /// On a command: the sender wants no answer.
    bool no_reply() const noexcept { return (header.flags & header_flag::no_reply) != 0; }
    /// On a reply: the errno value of a command that failed, EIO when the peer does not say which; otherwise
    /// 0.
    int error() const noexcept;
};

/// A connected stream socket that carries messages. One thread at a time.
///
/// Results are 0 or an errno value. ETIMEDOUT: the deadline is over. ECONNRESET: the peer has closed. EPROTO:
/// what it sent is no message, see problem(). ENOMEM, or what the kernel says, otherwise. After ETIMEDOUT of
/// receive() nothing is lost, and a further receive() goes on; after any other error, and after any error of
/// send(), the stream is out of step: close it.
class MessageSocket {
  public:
    /// Where a receive waits.
    enum class Waiting {
        in_receive,  ///< in recvmsg itself: one system call a message. The socket was opened here
        in_poll,     ///< in poll: also right for a socket that somebody else may set options of
    };

    /// Owns `socket`, which is in blocking mode.
    explicit MessageSocket(Fd socket, const MessageLimits& limits = {},
                           Waiting waiting = Waiting::in_receive);

    /// For poll; still owned by this object.
    int fd() const noexcept { return socket_.get(); }

    void set_limits(const MessageLimits& limits) noexcept { limits_ = limits; }

    /// Sends one message: `header` (its `size` is filled in here), then `parts` (at most max_parts), with
    /// `descriptors` (at most 253, still the caller's) beside it. While the peer does not read, what it sends
    /// itself is taken in, so that two peers that send at the same time do not wait for each other.
    [[nodiscard]] int send(Header header, std::initializer_list<std::span<const std::byte>> parts,
                           std::span<const int> descriptors, TimePoint deadline) noexcept;
    static constexpr std::size_t max_parts = 3;

    /// The next message; TimePoint::min() for a deadline takes only what is there. Descriptors belong to the
    /// message with the last of the bytes that the kernel gave with them.
    [[nodiscard]] int receive(Message& message, TimePoint deadline) noexcept;

    /// Bytes that poll does not know of: they have been taken from the kernel, and may be a whole message.
    bool has_buffered() const noexcept { return end_ - begin_ > taken_ || !held_.empty(); }

    /// After EPROTO: what was wrong, as half a sentence ("a message states a size of 3 bytes").
    const char* problem() const noexcept { return problem_; }

    /// Ends both directions: whoever waits for this socket, here or at the peer, wakes. Any thread.
    void shut_down() const noexcept;

  private:
    struct Arrived {
        std::uint64_t position = 0;  ///< in the stream: the end of the bytes it came with
        Fd descriptor;
    };

    int want(std::size_t size, TimePoint deadline);
    int receive_some(std::span<std::byte> room, TimePoint deadline, bool wait, std::size_t& count);
    int take_descriptors(msghdr& header);
    int set_receive_limit(TimePoint now, TimePoint deadline) noexcept;
    int wait_for(short events, TimePoint deadline, short& happened) const noexcept;
    int wait_to_send(TimePoint deadline);
    int broken(const char* problem) noexcept;

    Fd socket_;
    MessageLimits limits_;
    Waiting waiting_;
    Duration receive_limit_{};  ///< SO_RCVTIMEO; 0 for none
    const char* problem_ = "";
    std::vector<std::byte> buffer_;
    std::size_t begin_ = 0;         ///< of the current message in buffer_
    std::size_t end_ = 0;           ///< of the bytes in buffer_
    std::size_t taken_ = 0;         ///< bytes of the message that was handed out last
    std::vector<std::byte> held_;   ///< came while a message was sent
    std::uint64_t received_ = 0;    ///< bytes of the stream taken from the kernel
    std::uint64_t handed_out_ = 0;  ///< bytes of the stream up to the end of the message handed out last
    std::deque<Arrived> arrived_;
};

}  // namespace outboard::vfio_user
