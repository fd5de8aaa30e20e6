// Messages of another process, read as they come and taken one by one.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/base/packet_socket.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <deque>
#include <exception>
#include <functional>
#include <vector>

namespace outboard::hosting {

/// Used on one loop, and goes before it.
class Inbox {
  public:
    /// Called for each packet when it comes; true: it was dealt with, and is not queued. Throws what ends the
    /// reading.
    using Handler = std::function<bool(const Packet&)>;

    /// Reads from `socket`, which it owns, from now on. Throws Error.
    Inbox(RunLoop& loop, PacketSocket socket, Handler handler);
    Inbox(const Inbox&) = delete;
    Inbox& operator=(const Inbox&) = delete;
    Inbox(Inbox&&) = delete;
    Inbox& operator=(Inbox&&) = delete;
    ~Inbox() = default;

    /// The next packet that was queued. Throws what ended the reading once there is none left. One task at a
    /// time.
    Task<Packet> next();

    /// What was queued and what lies in the socket, without waiting: the last words of a process that has
    /// ended.
    std::vector<Packet> drain();

    PacketSocket& socket() noexcept { return socket_; }
    const PacketSocket& socket() const noexcept { return socket_; }

  private:
    Task<void> read();
    void receive();

    RunLoop* loop_;
    PacketSocket socket_;
    Handler handler_;
    Fd came_;  ///< an eventfd
    std::deque<Packet> packets_;
    std::exception_ptr end_;
    Task<void> reading_;
};

}  // namespace outboard::hosting
