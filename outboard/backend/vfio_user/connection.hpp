// The client's end of a connection: calls of any thread to the server, and answers to the server's own
// commands at any time.
#pragma once

#include "outboard/backend/vfio_user/dma_table.hpp"
#include "outboard/backend/vfio_user/message.hpp"
#include "outboard/backend/vfio_user/version.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/runtime/clock.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace outboard::vfio_user {

/// A command to the server.
struct Call {
    Command command{};
    std::initializer_list<std::span<const std::byte>> parts;
    std::span<const int> descriptors = {};
};

/// An answer of any length.
struct Answer {
    std::vector<std::byte> body;
    std::vector<Fd> descriptors;
};

/// One connection. Calls may come from any thread, and wait for each other. Once an answer does not come in
/// time, or the server closes or breaks the protocol, the connection has ended: that call fails, and every
/// further one does at once.
///
/// A command of the server that comes while a call waits for its answer is served by that call. At other
/// times a thread of this object serves it: on the twin socket where there is one. Otherwise it watches the
/// common socket, and lets it alone while calls follow each other, so that an answer wakes only who waits for
/// it.
class Connection {
  public:
    /// Agrees with the server behind `socket`, which is connected and in blocking mode, on a version within
    /// `limit`. Throws Error: busy when the server does not take another client.
    Connection(Fd socket, std::string name, Duration limit);
    /// Closes it. The server keeps what it was not told to give up.
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    Connection(Connection&&) = delete;
    Connection& operator=(Connection&&) = delete;

    /// What messages call the device.
    const std::string& name() const noexcept { return name_; }
    const ServerVersion& server() const noexcept { return server_; }
    DmaTable& dma() noexcept { return dma_; }
    /// True once it has ended.
    bool ended() const noexcept { return ended_.load(std::memory_order_acquire); }

    /// Sends a command and waits at most `limit` for its answer, whose body has to be as long as `head` and
    /// `data` together and is copied into them. Returns 0 or an errno value: the server's own, EPROTO for an
    /// answer of another length, ENODEV once the connection has ended.
    [[nodiscard]] int exchange(const Call& call, std::span<std::byte> head, std::span<std::byte> data,
                               Duration limit) noexcept;

    /// The same for an answer of any length.
    [[nodiscard]] int ask(const Call& call, Answer& answer, Duration limit);

    /// Throws the Error for an errno value that a call returned: says why the connection has ended, if it
    /// has. `action` is an infinitive that ends before the device's name.
    [[noreturn]] void throw_failure(int error, std::string_view action, std::string_view remedy = {}) const;

  private:
    void agree(Duration limit);
    int transact(const Call& call, Message& answer, Duration limit) noexcept;
    int serve(MessageSocket& socket, const Message& message) noexcept;
    void serve_buffered() noexcept;
    int end(int error, const char* problem = nullptr) noexcept;

    void run_service() noexcept;
    bool serve_twin() noexcept;
    bool serve_idle() noexcept;
    bool rest_until_quiet() noexcept;
    bool sleep(int fd, int milliseconds) const noexcept;

    std::string name_;
    std::optional<MessageSocket> socket_;
    std::optional<MessageSocket> twin_;
    ServerVersion server_;
    DmaTable dma_;
    Duration limit_;

    std::mutex mutex_;  ///< of the common socket and what follows
    std::uint16_t next_id_ = 0;
    Message message_;
    std::atomic<std::uint32_t> calls_ = 0;
    std::atomic<bool> server_asks_ = false;  ///< it has sent a command of its own

    mutable std::mutex end_mutex_;
    std::atomic<bool> ended_ = false;
    int end_error_ = 0;
    const char* end_problem_ = nullptr;

    Fd stop_;  ///< an eventfd
    std::thread service_;
};

}  // namespace outboard::vfio_user
