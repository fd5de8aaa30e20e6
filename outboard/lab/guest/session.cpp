#include "outboard/lab/guest/session.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/base/pipe.hpp"
#include "outboard/lab/guest/machine.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard::lab::guest {

namespace {

// The command's end of its three standard descriptors.
struct Standard {
    int input;
    int output;
    int error_output;
    bool terminal;
};

// Waits until somebody is at the host's end of the debugger's port: gdbserver takes a port without one for
// the end. Opening the port to ask would throw away what has arrived. The lab's own deadline ends this wait.
void wait_for_debugger(const std::string& device) {
    const auto state =
        std::filesystem::path("/sys/kernel/debug/virtio-ports") / device.substr(device.rfind('/') + 1);
    while (read_text(state).find("host_connected: 1") == std::string::npos)
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

[[noreturn]] void become(const Request& request, std::vector<std::string> words, const Standard& standard) {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::setsid();
    if (standard.terminal)
        ::ioctl(standard.input, TIOCSCTTY, 0);
    ::dup2(standard.input, STDIN_FILENO);
    ::dup2(standard.output, STDOUT_FILENO);
    ::dup2(standard.error_output, STDERR_FILENO);
    ::clearenv();
    ::setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    ::setenv("HOME", request.unprivileged ? "/tmp" : "/root", 1);
    ::setenv("USER", request.unprivileged ? "user" : "root", 1);
    for (const auto& [name, value] : request.environment)
        ::setenv(name.c_str(), value.c_str(), 1);
    constexpr unsigned user = 1000;
    if (request.unprivileged && (::setgroups(0, nullptr) != 0 || ::setgid(user) != 0 || ::setuid(user) != 0))
        ::_exit(126);
    if (::chdir(request.unprivileged ? "/tmp" : "/root") != 0)
        ::_exit(126);
    if (request.debug == "start")
        wait_for_debugger(find_port(gdb_port_name));
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    const int error = errno;
    std::fprintf(stderr, "lab: cannot run %s: %s\n", argv[0], std::strerror(error));
    ::_exit(error == ENOENT ? 127 : 126);
}

// The process of that name, or -1.
pid_t find_process(const std::string& name) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string number = entry.path().filename().string();
        if (number.find_first_not_of("0123456789") == std::string::npos &&
            try_read_text(entry.path() / "comm") == name.substr(0, 15))
            return std::stoi(number);
    }
    return -1;
}

}  // namespace

Request parse_request(const std::string& text) {
    const nlohmann::json document = nlohmann::json::parse(text);
    Request request;
    document.at("argv").get_to(request.argv);
    document.at("modules").get_to(request.modules);
    document.at("get").get_to(request.get);
    document.at("unprivileged").get_to(request.unprivileged);
    document.at("terminal").get_to(request.terminal);
    document.at("debug").get_to(request.debug);
    for (const auto& [name, value] : document.at("environment").items())
        request.environment.emplace_back(name, value.get<std::string>());
    return request;
}

void Session::send(FrameKind kind, std::string_view body) const {
    const std::string bytes = pack(kind, body);
    std::string_view rest = bytes;
    while (!rest.empty()) {
        const ssize_t count = ::write(port_, rest.data(), rest.size());
        if (count < 0 && errno != EINTR)
            throw_errno(errno, "write to", "the lab's port");
        if (count > 0)
            rest.remove_prefix(static_cast<std::size_t>(count));
    }
}

void Session::send_event(const nlohmann::json& event) const {
    send(FrameKind::event, event.dump());
}

pid_t Session::start(const Request& request) {
    std::vector<std::string> words = request.argv;
    if (request.debug == "start")
        words.insert(words.begin(),
                     {"gdbserver", "--once", "--no-startup-with-shell", find_port(gdb_port_name)});
    Pipe in;
    Pipe out;
    Pipe error;
    Standard standard{};
    Fd slave;
    if (request.terminal) {
        int master = -1;
        int terminal = -1;
        if (::openpty(&master, &terminal, nullptr, nullptr, nullptr) != 0)
            throw_errno(errno, "open", "a terminal");
        input_.reset(master);
        output_.reset(::fcntl(master, F_DUPFD_CLOEXEC, 0));
        slave.reset(terminal);
        ::fcntl(master, F_SETFD, FD_CLOEXEC);
        standard = {.input = terminal, .output = terminal, .error_output = terminal, .terminal = true};
    } else {
        in = make_pipe();
        out = make_pipe();
        error = make_pipe();
        standard = {.input = in.read_end.get(),
                    .output = out.write_end.get(),
                    .error_output = error.write_end.get(),
                    .terminal = false};
        input_ = std::move(in.write_end);
        output_ = std::move(out.read_end);
        error_output_ = std::move(error.read_end);
    }
    ::fcntl(input_.get(), F_SETFL, O_NONBLOCK);
    const pid_t pid = ::fork();
    if (pid < 0)
        throw_errno(errno, "start", request.argv.front());
    if (pid == 0)
        become(request, words, standard);
    return pid;
}

pid_t Session::start_attached_debugger(const std::string& process) {
    const pid_t pid = ::fork();
    if (pid < 0)
        throw_errno(errno, "start", "gdbserver");
    if (pid > 0)
        return pid;
    const std::string port = find_port(gdb_port_name);
    pid_t target = -1;
    // The lab's own deadline ends this wait.
    while ((target = find_process(process)) < 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    wait_for_debugger(port);
    const std::string number = std::to_string(target);
    ::execl("/usr/sbin/gdbserver", "gdbserver", "--once", "--attach", port.c_str(), number.c_str(),
            static_cast<char*>(nullptr));
    ::_exit(127);
}

bool Session::relay(Fd& from, FrameKind kind) {
    std::array<char, 32768> chunk{};
    const ssize_t count = ::read(from.get(), chunk.data(), chunk.size());
    if (count > 0) {
        send(kind, {chunk.data(), static_cast<std::size_t>(count)});
        return true;
    }
    // A terminal whose last user has gone says EIO.
    if (count == 0 || (errno != EINTR && errno != EAGAIN))
        from.reset();
    return false;
}

void Session::handle_host() {
    std::array<char, 32768> chunk{};
    const ssize_t count = ::read(port_, chunk.data(), chunk.size());
    if (count <= 0)
        return;
    frames_.add({chunk.data(), static_cast<std::size_t>(count)});
    while (const auto frame = frames_.next()) {
        if (frame->kind == FrameKind::input) {
            input_ends_ = input_ends_ || frame->body.empty();
            pending_input_ += frame->body;
        }
        if (frame->kind == FrameKind::window) {
            winsize size{};
            std::istringstream(frame->body) >> size.ws_row >> size.ws_col;
            ::ioctl(input_.get(), TIOCSWINSZ, &size);
        }
    }
}

void Session::feed_input() {
    if (!pending_input_.empty()) {
        const ssize_t count = ::write(input_.get(), pending_input_.data(), pending_input_.size());
        if (count > 0)
            pending_input_.erase(0, static_cast<std::size_t>(count));
        else if (errno != EAGAIN && errno != EINTR)
            input_.reset();
    }
    if (pending_input_.empty() && input_ends_)
        input_.reset();
}

void Session::relay_until_end(pid_t pid) {
    sigset_t children;
    ::sigemptyset(&children);
    ::sigaddset(&children, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &children, nullptr);
    const Fd ended(::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!ended)
        throw_errno(errno, "watch", "the command");
    while (status_ < 0) {
        const bool feeding = input_ && !pending_input_.empty();
        const bool listening = !input_ || pending_input_.empty();
        std::array<pollfd, 6> waits{{
            {.fd = ended.get(), .events = POLLIN, .revents = 0},
            {.fd = output_.get(), .events = POLLIN, .revents = 0},
            {.fd = error_output_.get(), .events = POLLIN, .revents = 0},
            {.fd = listening ? port_ : -1, .events = POLLIN, .revents = 0},
            {.fd = feeding ? input_.get() : -1, .events = POLLOUT, .revents = 0},
            {.fd = loader_.fd(), .events = POLLIN, .revents = 0},
        }};
        if (::poll(waits.data(), waits.size(), 1000) < 0 && errno != EINTR)
            throw_errno(errno, "wait for", "the command");
        if (waits[1].revents != 0)
            relay(output_, FrameKind::output);
        if (waits[2].revents != 0)
            relay(error_output_, FrameKind::error_output);
        if (waits[3].revents != 0)
            handle_host();
        if (input_ && (!pending_input_.empty() || input_ends_))
            feed_input();
        if (waits[5].revents != 0)
            loader_.handle();
        signalfd_siginfo information{};
        [[maybe_unused]] const ssize_t taken = ::read(ended.get(), &information, sizeof information);
        int status = 0;
        for (pid_t gone = 0; (gone = ::waitpid(-1, &status, WNOHANG)) > 0;)
            if (gone == pid)
                status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
}

int Session::run(const Request& request) {
    const pid_t pid = start(request);
    if (!request.debug.empty() && request.debug != "start")
        start_attached_debugger(request.debug);
    relay_until_end(pid);
    // What the command wrote before it ended; what it left behind may hold the pipes open for ever.
    for (const auto& [fd, kind] :
         {std::pair{&output_, FrameKind::output}, {&error_output_, FrameKind::error_output}}) {
        if (*fd)
            ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
        while (*fd && relay(*fd, kind)) {
        }
    }
    return status_;
}

void Session::send_files(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
        Pipe archive = make_pipe();
        const pid_t pid = ::fork();
        if (pid < 0)
            throw_errno(errno, "start", "tar");
        if (pid == 0) {
            ::dup2(archive.write_end.get(), STDOUT_FILENO);
            const std::string inside = path.substr(path.find_first_not_of('/'));
            ::execl("/usr/bin/busybox", "tar", "-c", "-C", "/", inside.c_str(), static_cast<char*>(nullptr));
            ::_exit(127);
        }
        archive.write_end.reset();
        send_event({{"event", "file"}, {"path", path}});
        while (archive.read_end)
            relay(archive.read_end, FrameKind::files);
        int status = 0;
        while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        send_event(
            {{"event", "file-end"}, {"path", path}, {"status", WIFEXITED(status) ? WEXITSTATUS(status) : 1}});
    }
}

}  // namespace outboard::lab::guest
