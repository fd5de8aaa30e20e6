// Messages with descriptors between two processes: one end of a SOCK_SEQPACKET pair.
#pragma once

#include "outboard/base/fd.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outboard {

/// One message as it came. Descriptors are close-on-exec.
struct Packet {
    std::string text;
    std::vector<Fd> descriptors;
};

/// Owns the socket, which it makes non-blocking. One thread. What the other end does is not trusted: messages
/// have at most max_bytes and max_descriptors, and whoever does not read is found by a full queue.
class PacketSocket {
  public:
    static constexpr std::size_t max_bytes = std::size_t{64} * 1024;
    static constexpr std::size_t max_descriptors = 8;

    PacketSocket() noexcept = default;
    /// Throws Error when `socket` is none.
    explicit PacketSocket(Fd socket);

    /// Two connected ends; the second one for another process. Throws Error.
    static std::pair<PacketSocket, Fd> make_pair();

    int fd() const noexcept { return fd_.get(); }

    /// Sends a message; the other process gets copies of the descriptors. Throws Error: it has closed its
    /// end, or does not read.
    void send(std::string_view text, std::span<const int> descriptors = {});

    /// The next message, or nothing when none waits. Throws Error (not_found) when the other end is closed,
    /// and Error (failed) for a message beyond the limits.
    std::optional<Packet> receive();

  private:
    Fd fd_;
    std::vector<char> buffer_;  ///< of the message that is being read
};

}  // namespace outboard
