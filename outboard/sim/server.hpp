// Serves a device model on a UNIX socket by the vfio-user protocol.
#pragma once

#include "outboard/runtime/clock.hpp"
#include "outboard/sim/doorman.hpp"
#include "outboard/sim/pci_model.hpp"
#include "outboard/sim/session.hpp"
#include "outboard/sim/socket_path.hpp"

#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>

namespace outboard::sim {

struct ServerOptions {
    std::filesystem::path socket;
    /// Gets a line for each client that comes, goes or is refused, and for DMA faults. May be called by two
    /// threads, one at a time. May be empty.
    std::function<void(std::string_view)> log;
    /// How long a client may take to read an answer, or to answer a DMA message, before it is left.
    Duration patience = std::chrono::seconds(5);
    /// Clients may map the shared areas of the device. Otherwise every access of theirs is a message.
    bool share_memory = true;
};

/// Serves one client at a time; between clients the device lives on.
class Server {
  public:
    /// Listens from here on. `model` outlives it. Throws Error.
    Server(PciModel& model, ServerOptions options);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    Server(Server&&) = delete;
    Server& operator=(Server&&) = delete;
    ~Server() { model_.dma().set_log({}); }

    /// Serves on the calling thread, which is the one that calls the model, until stop(). Throws what a timer
    /// or the poll function of the model throws. Once. Sets the thread's timer slack to 1 ns.
    void serve();
    /// Ends serve(), also one that has not begun. Any thread, and async-signal-safe.
    void stop() noexcept { doorman_.stop(); }

    const std::filesystem::path& path() const noexcept { return path_.path(); }

  private:
    void serve_client(Fd client);
    void log(std::string_view line);

    PciModel& model_;
    ServerOptions options_;
    std::mutex log_mutex_;
    SocketPath path_;
    Doorman doorman_;
};

/// A server with a thread of its own, for tests and for programs that drive the device themselves.
class ServerThread {
  public:
    /// Throws Error.
    ServerThread(PciModel& model, ServerOptions options);
    ServerThread(const ServerThread&) = delete;
    ServerThread& operator=(const ServerThread&) = delete;
    ServerThread(ServerThread&&) = delete;
    ServerThread& operator=(ServerThread&&) = delete;
    ~ServerThread();

    /// Ends serving and waits for it: the model is the caller's afterwards. Throws what serve() threw.
    void stop();

    const Server& server() const noexcept { return server_; }

  private:
    Server server_;
    std::exception_ptr failure_;
    std::jthread thread_;
};

}  // namespace outboard::sim
