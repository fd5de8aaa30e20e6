// The command that the guest runs, and its way to the host.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/lab/channel.hpp"

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace outboard::lab::guest {

class DriverLoader;

/// What the host asks for; read from request_path.
struct Request {
    std::vector<std::string> argv;
    std::vector<std::pair<std::string, std::string>> environment;
    std::vector<std::string> modules;  ///< to load before the command
    std::vector<std::string> get;      ///< paths to send back when the command has ended
    bool unprivileged = false;         ///< run as the user 1000
    bool terminal = false;             ///< give it a terminal
    std::string debug;  ///< "": no debugger; "start": gdbserver starts it; else: attaches to that process
};

/// Reads a request. Throws nlohmann::json::exception when it is none.
Request parse_request(const std::string& text);

/// Runs a command and carries its input and output over the port to the host.
class Session {
  public:
    /// `port` and `loader` must outlive the session; `port` is the open virtio-serial port.
    Session(int port, DriverLoader& loader) : port_(port), loader_(loader) {}

    /// Runs the request to its end and returns the exit status of its command (128 + N for signal N). Other
    /// processes that it left behind are reaped, not waited for. Throws Error when the port fails.
    int run(const Request& request);

    /// Sends the files that were asked for. Throws Error when the port fails.
    void send_files(const std::vector<std::string>& paths);

    /// Tells the host something.
    void send_event(const nlohmann::json& event) const;

  private:
    void send(FrameKind kind, std::string_view body) const;
    pid_t start(const Request& request);
    pid_t start_attached_debugger(const std::string& process);
    void relay_until_end(pid_t pid);
    bool relay(Fd& from, FrameKind kind);
    void handle_host();
    void feed_input();

    int port_;
    DriverLoader& loader_;
    FrameReader frames_;
    Fd input_;         // where the command's standard input is written
    Fd output_;        // where its standard output is read; with a terminal, the same as input_
    Fd error_output_;  // where its standard error is read
    std::string pending_input_;
    bool input_ends_ = false;
    int status_ = -1;
};

}  // namespace outboard::lab::guest
