// A host as its supervisor sees it: a child process and the socket to it.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/host/protocol/inbox.hpp"
#include "outboard/host/protocol/messages.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>

namespace outboard {

/// Used on one loop, and goes before it.
class HostProcess {
  public:
    /// Starts the program, which waits for what it is told. `handler` gets every packet first. Throws Error.
    HostProcess(RunLoop& loop, const std::filesystem::path& program, hosting::Inbox::Handler handler);
    /// One that another supervisor started: its number, a pidfd, and that one's end of the socket.
    HostProcess(RunLoop& loop, int pid, Fd process, Fd socket, hosting::Inbox::Handler handler);
    HostProcess(const HostProcess&) = delete;
    HostProcess& operator=(const HostProcess&) = delete;
    HostProcess(HostProcess&&) = delete;
    HostProcess& operator=(HostProcess&&) = delete;
    /// Kills one that has not ended, and does not wait for that longer than a second.
    ~HostProcess();

    int pid() const noexcept { return pid_; }
    /// This end of the socket.
    int socket() const noexcept { return inbox_->socket().fd(); }
    /// The pidfd.
    int process() const noexcept { return process_.get(); }
    /// Sends a message with at most one descriptor (-1: none). Throws Error.
    void send(const hosting::ToHost& message, int descriptor = -1);
    hosting::Inbox& inbox() noexcept { return *inbox_; }

    bool alive() const noexcept;
    /// Waits until it has ended, however; its descriptors are closed then, but for those that the kernel is
    /// still taking from its rings.
    Task<void> ended();
    /// After that: "signal 11 (SIGSEGV)", "exit status 1".
    std::string how_it_ended();
    void kill() noexcept;

  private:
    RunLoop* loop_;
    int pid_ = -1;
    Fd process_;  ///< a pidfd
    bool reaped_ = false;
    std::unique_ptr<hosting::Inbox> inbox_;
};

}  // namespace outboard
