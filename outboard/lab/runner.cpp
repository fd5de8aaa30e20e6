#include "outboard/lab/runner.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/lab/channel.hpp"
#include "outboard/lab/process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <deque>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

namespace outboard::lab {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What the reader has not taken by the deadline is lost.
void write_all(int fd, std::string_view bytes, Clock::time_point deadline) {
    while (!bytes.empty()) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0)
            return;
        pollfd writable{.fd = fd, .events = POLLOUT, .revents = 0};
        if (::poll(&writable, 1, static_cast<int>(std::min<std::int64_t>(left, 1000))) <= 0)
            continue;
        // A pipe that is writable takes this much without blocking.
        const ssize_t count = ::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), PIPE_BUF));
        if (count < 0 && errno != EINTR && errno != EAGAIN)
            throw_errno(errno, "write to", fd == STDOUT_FILENO ? "standard output" : "standard error");
        if (count > 0)
            bytes.remove_prefix(static_cast<std::size_t>(count));
    }
}

// Passes every key to the guest for as long as it lives.
class RawTerminal {
  public:
    explicit RawTerminal(bool wanted) : active_(wanted && ::tcgetattr(STDIN_FILENO, &before_) == 0) {
        if (!active_)
            return;
        termios raw = before_;
        ::cfmakeraw(&raw);
        ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;
    ~RawTerminal() {
        if (active_)
            ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }

  private:
    termios before_{};
    bool active_;
};

// Turns signals that would end us, or that tell of the terminal's size, into something to read.
class Signals {
  public:
    Signals() {
        ::sigemptyset(&set_);
        for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGWINCH})
            ::sigaddset(&set_, number);
        ::sigprocmask(SIG_BLOCK, &set_, &before_);
        fd_.reset(::signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK));
        if (!fd_)
            throw_errno(errno, "watch", "signals");
    }
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;
    ~Signals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

    int fd() const noexcept { return fd_.get(); }
    int take() const noexcept {
        signalfd_siginfo information{};
        return ::read(fd_.get(), &information, sizeof information) == sizeof information
                   ? static_cast<int>(information.ssi_signo)
                   : 0;
    }

  private:
    sigset_t set_{};
    sigset_t before_{};
    Fd fd_;
};

class Run {
  public:
    explicit Run(const RunPlan& plan) : plan_(plan) {}

    RunOutcome execute() {
        const Signals signals;
        const Fd log = open_file(plan_.qemu_log, O_WRONLY | O_CREAT | O_TRUNC);
        start_ = Clock::now();
        Child qemu =
            Child::start({.argv = plan_.qemu, .environment = plan_.environment, .in_step = plan_.in_step},
                         log.get(), log.get(), {plan_.port});
        ::close(plan_.port);
        const RawTerminal raw(plan_.terminal);
        if (plan_.terminal)
            send_window();
        reading_input_ = plan_.forward_input;
        if (!reading_input_)
            to_guest_ += pack(FrameKind::input, {});
        deadline_ = start_ + plan_.deadline;
        while (!ended_) {
            if (Clock::now() >= deadline_) {
                outcome_.deadline_came = true;
                outcome_.exit_status = deadline_status;
                break;
            }
            step(qemu, signals);
        }
        end(qemu);
        outcome_.seconds = seconds_since(start_);
        return outcome_;
    }

  private:
    void step(Child& qemu, const Signals& signals) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now()).count() + 1;
        const auto host_events = static_cast<short>(to_guest_.empty() ? POLLIN : POLLIN | POLLOUT);
        // Input is read no faster than the guest takes it.
        std::array<pollfd, 4> waits{{
            {.fd = plan_.host_end, .events = host_events, .revents = 0},
            {.fd = started_ && reading_input_ && to_guest_.empty() ? STDIN_FILENO : -1,
             .events = POLLIN,
             .revents = 0},
            {.fd = signals.fd(), .events = POLLIN, .revents = 0},
            {.fd = qemu.pidfd(), .events = POLLIN, .revents = 0},
        }};
        if (::poll(waits.data(), waits.size(), static_cast<int>(left)) < 0)
            return;
        if ((waits[0].revents & (POLLIN | POLLHUP)) != 0)
            from_guest();
        if ((waits[0].revents & POLLOUT) != 0)
            write_to_guest();
        if (waits[1].revents != 0)
            read_input();
        if (waits[2].revents != 0)
            handle_signal(signals.take());
        if (waits[3].revents != 0 && !ended_) {
            while (from_guest()) {
            }
            if (!ended_)
                throw_early_end();
        }
    }

    bool from_guest() {
        std::array<char, longest_frame> chunk{};
        const ssize_t count = ::read(plan_.host_end, chunk.data(), chunk.size());
        if (count <= 0)
            return false;
        frames_.add({chunk.data(), static_cast<std::size_t>(count)});
        while (const auto frame = frames_.next())
            handle(*frame);
        return true;
    }

    void handle(const Frame& frame) {
        switch (frame.kind) {
            case FrameKind::output:
            case FrameKind::error_output:
                if (plan_.output)
                    plan_.output(frame.kind == FrameKind::error_output, frame.body);
                else
                    write_all(frame.kind == FrameKind::output ? STDOUT_FILENO : STDERR_FILENO, frame.body,
                              deadline_);
                return;
            case FrameKind::files:
                archive_ += frame.body;
                return;
            case FrameKind::event:
                handle_event(nlohmann::json::parse(frame.body));
                return;
            case FrameKind::input:
            case FrameKind::window:
                return;
        }
    }

    void handle_event(const nlohmann::json& event) {
        const std::string name = event.at("event");
        if (name == "start") {
            started_ = true;
            outcome_.boot_seconds = seconds_since(start_);
        }
        if (name == "file-end") {
            const bool whole = event.at("status") == 0;
            if (plan_.file)
                plan_.file(event.at("path"), whole ? std::optional(archive_) : std::nullopt);
            archive_.clear();
        }
        if (name == "exit") {
            outcome_.exit_status = event.at("status");
            ended_ = true;
        }
    }

    void read_input() {
        std::array<char, 32768> chunk{};
        const ssize_t count = ::read(STDIN_FILENO, chunk.data(), chunk.size());
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        to_guest_ += pack(FrameKind::input, {chunk.data(), static_cast<std::size_t>(count > 0 ? count : 0)});
        reading_input_ = count > 0;
    }

    void write_to_guest() {
        const ssize_t count =
            ::send(plan_.host_end, to_guest_.data(), to_guest_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0)
            to_guest_.erase(0, static_cast<std::size_t>(count));
    }

    void send_window() {
        winsize size{};
        if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
            to_guest_ += pack(FrameKind::window, fmt::format("{} {}", size.ws_row, size.ws_col));
    }

    void handle_signal(int number) {
        if (number == SIGWINCH && plan_.terminal)
            send_window();
        if (number == 0 || number == SIGWINCH)
            return;
        outcome_.exit_status = 128 + number;
        ended_ = true;
    }

    // SIGTERM lets QEMU finish what it writes to disk images.
    static void end(Child& qemu) {
        qemu.signal(SIGTERM);
        if (qemu.wait(std::chrono::seconds(5)) < 0)
            qemu.signal(SIGKILL);
    }

    [[noreturn]] void throw_early_end() const {
        const std::string said = log_tail(plan_.qemu_log, 10);
        const std::string console = log_tail(plan_.console, 60);
        std::string cause = "QEMU ended before the command did";
        if (!said.empty())
            cause += fmt::format("; it said:\n{}", said);
        if (!console.empty())
            cause += fmt::format("; the console's end:\n{}", console);
        ErrorParts parts{
            .kind = ErrorKind::failed,
            .action = "run",
            .subject = "the lab's machine",
            .cause = cause + "\n",
            .remedy = fmt::format("see {} and {}", plan_.qemu_log.string(), plan_.console.string())};
        if (!started_ && !console.empty())
            throw BootFailure(std::move(parts));
        throw Error(std::move(parts));
    }

    const RunPlan& plan_;
    Clock::time_point start_;
    Clock::time_point deadline_;
    RunOutcome outcome_;
    FrameReader frames_;
    std::string archive_;
    std::string to_guest_;
    bool reading_input_ = false;
    bool started_ = false;
    bool ended_ = false;
};

}  // namespace

std::string log_tail(const std::filesystem::path& log, std::size_t lines) {
    std::ifstream file(log);
    std::deque<std::string> last;
    for (std::string line; std::getline(file, line);) {
        std::erase_if(line, [](unsigned char c) { return c < ' ' && c != '\t'; });
        last.push_back(line);
        if (last.size() > lines)
            last.pop_front();
    }
    return fmt::format("{}", fmt::join(last, "\n"));
}

RunOutcome run_machine(const RunPlan& plan) {
    return Run(plan).execute();
}

}  // namespace outboard::lab
