// The control socket of outboardd.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"
#include "outboard/supervisor/control_protocol.hpp"

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>

#include <nlohmann/json.hpp>

namespace outboard {

/// Listens as long as it lives; used on one loop, and goes before it. Who may ask is a matter of the rights
/// on the socket. What is sent is not trusted: a line has a limit, and so have the number of clients and the
/// time that they may be silent.
class ControlServer {
  public:
    using Obey = std::function<Task<nlohmann::json>(Request)>;

    /// Makes the socket, and its folder, for the owner and the group `group`, where there is such a group. A
    /// socket that nobody listens on is replaced. Throws Error; busy when another process listens there.
    ControlServer(RunLoop& loop, std::filesystem::path path, const std::string& group, Obey obey);
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;
    ControlServer(ControlServer&&) = delete;
    ControlServer& operator=(ControlServer&&) = delete;
    /// Removes the socket.
    ~ControlServer();

  private:
    Task<void> accept();
    Task<void> attend(Fd client);
    Task<bool> answer_next(int client, std::string& waiting);
    Task<void> write_all(int client, std::string text);

    RunLoop* loop_;
    std::filesystem::path path_;
    Obey obey_;
    Fd listener_;
    std::size_t clients_ = 0;
    Task<void> accepting_;
};

}  // namespace outboard
