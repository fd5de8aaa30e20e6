#include "outboard/lab/process.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/base/pipe.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard::lab {

namespace {

using Clock = std::chrono::steady_clock;

std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> result;
    result.reserve(words.size() + 1);
    for (std::string& word : words)
        result.push_back(word.data());
    result.push_back(nullptr);
    return result;
}

std::vector<std::string> whole_environment(const std::vector<std::string>& additions) {
    std::vector<std::string> result;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const std::string_view name = text.substr(0, text.find('='));
        bool replaced = false;
        for (const std::string& addition : additions)
            replaced = replaced || std::string_view(addition).substr(0, addition.find('=')) == name;
        if (!replaced)
            result.emplace_back(text);
    }
    result.insert(result.end(), additions.begin(), additions.end());
    return result;
}

void run_in_step() {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &here);
    ::sched_setaffinity(0, sizeof here, &here);
    // Threads that the program makes begin as ordinary ones.
    sched_param lowest{};
    lowest.sched_priority = 1;
    ::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest);
}

// Runs between fork and exec: system calls only. The number of the failed call's error goes to the parent.
[[noreturn]] void become(const char* program, char* const* argv, char* const* environment,
                         const char* directory, const std::array<int, 3>& standard,
                         const std::vector<int>& inherited, bool in_step, int report) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    bool ready = *directory == '\0' || ::chdir(directory) == 0;
    for (int number = 0; number < 3; ++number)
        ready = ready && ::dup2(standard[static_cast<std::size_t>(number)], number) == number;
    for (const int fd : inherited)
        ready = ready && ::fcntl(fd, F_SETFD, 0) == 0;
    if (in_step)
        run_in_step();
    if (ready)
        ::execve(program, argv, environment);
    const int error = errno;
    [[maybe_unused]] const ssize_t told = ::write(report, &error, sizeof error);
    ::_exit(127);
}

std::string last_lines(const std::string& text) {
    constexpr std::size_t limit = 1000;
    std::string tail = text.size() > limit ? text.substr(text.size() - limit) : text;
    tail.erase(tail.find_last_not_of(" \r\n") + 1);
    return tail;
}

std::string ending(int status) {
    if (WIFSIGNALED(status))
        return fmt::format("signal {}", WTERMSIG(status));
    return fmt::format("exit status {}", WEXITSTATUS(status));
}

int milliseconds_until(Clock::time_point deadline) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    return left > 0 ? static_cast<int>(left) : 0;
}

// Reads both pipes until both have ended; false when the deadline came first.
bool drain(std::array<Fd*, 2> pipes, std::array<std::string*, 2> texts, Clock::time_point deadline) {
    while (pipes[0]->get() >= 0 || pipes[1]->get() >= 0) {
        std::array<pollfd, 2> waits{{{.fd = pipes[0]->get(), .events = POLLIN, .revents = 0},
                                     {.fd = pipes[1]->get(), .events = POLLIN, .revents = 0}}};
        const int ready = ::poll(waits.data(), waits.size(), milliseconds_until(deadline));
        if (ready == 0)
            return false;
        for (std::size_t i = 0; i < waits.size(); ++i) {
            if (ready < 0 || waits.at(i).revents == 0)
                continue;
            std::array<char, 65536> chunk{};
            const ssize_t count = ::read(pipes.at(i)->get(), chunk.data(), chunk.size());
            if (count > 0)
                texts.at(i)->append(chunk.data(), static_cast<std::size_t>(count));
            else if (count == 0 || errno != EINTR)
                pipes.at(i)->reset();
        }
    }
    return true;
}

// A program that is named relative to a directory is looked for in the one that it will be started in.
std::filesystem::path locate(const Command& command) {
    const std::filesystem::path name = command.argv.front();
    if (name.is_absolute() || !name.has_parent_path())
        return find_program(name);
    return ::access((command.directory / name).c_str(), X_OK) == 0 ? name : std::filesystem::path();
}

}  // namespace

std::filesystem::path find_program(const std::string& name) {
    if (name.find('/') != std::string::npos)
        return ::access(name.c_str(), X_OK) == 0 ? std::filesystem::path(name) : std::filesystem::path();
    const char* variable = std::getenv("PATH");
    const std::string directories = fmt::format("{}:/usr/sbin:/sbin:/usr/bin:/bin", variable ? variable : "");
    std::string_view rest = directories;
    while (!rest.empty()) {
        const std::size_t colon = rest.find(':');
        const std::string_view directory = rest.substr(0, colon);
        rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
        if (directory.empty())
            continue;
        std::filesystem::path candidate = std::filesystem::path(directory) / name;
        if (::access(candidate.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(candidate))
            return candidate;
    }
    return {};
}

Child Child::start(const Command& command, int output, int error_output, const std::vector<int>& inherited) {
    const std::filesystem::path program = locate(command);
    if (program.empty())
        throw Error({.kind = ErrorKind::not_found,
                     .action = "run",
                     .subject = command.argv.front(),
                     .cause = "there is no such program on this machine",
                     .remedy = "install the package that has it"});
    const Fd null = open_file("/dev/null", O_RDONLY);
    Pipe report = make_pipe();
    std::vector<std::string> argv = command.argv;
    std::vector<std::string> environment = whole_environment(command.environment);
    const std::vector<char*> argv_pointers = pointers(argv);
    const std::vector<char*> environment_pointers = pointers(environment);
    const pid_t pid = ::fork();
    if (pid < 0)
        throw_errno(errno, "start", program.string());
    if (pid == 0)
        become(program.c_str(), argv_pointers.data(), environment_pointers.data(), command.directory.c_str(),
               {null.get(), output, error_output}, inherited, command.in_step, report.write_end.get());
    Child child;
    child.pid_ = pid;
    report.write_end.reset();
    int error = 0;
    if (::read(report.read_end.get(), &error, sizeof error) == sizeof error)
        throw_errno(error, "start", program.string());
    child.pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!child.pidfd_)
        throw_errno(errno, "watch", program.string());
    return child;
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}

Child& Child::operator=(Child&& other) noexcept {
    if (this != &other) {
        end();
        pid_ = std::exchange(other.pid_, -1);
        pidfd_ = std::move(other.pidfd_);
    }
    return *this;
}

Child::~Child() {
    end();
}

void Child::end() noexcept {
    if (pid_ < 0)
        return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
}

void Child::signal(int number) const noexcept {
    if (pid_ >= 0)
        ::kill(pid_, number);
}

int Child::wait(std::chrono::milliseconds limit) {
    const Clock::time_point deadline = Clock::now() + limit;
    pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    while (::poll(&ended, 1, milliseconds_until(deadline)) < 0 && errno == EINTR) {
    }
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_)
        return -1;
    pid_ = -1;
    return status;
}

std::string run_command(const Command& command, const std::string& action, const std::string& subject) {
    const Clock::time_point deadline = Clock::now() + command.deadline;
    Pipe output = make_pipe();
    Pipe errors = make_pipe();
    Child child = Child::start(command, output.write_end.get(), errors.write_end.get(), {});
    output.write_end.reset();
    errors.write_end.reset();
    std::string text;
    std::string error_text;
    const bool drained = drain({&output.read_end, &errors.read_end}, {&text, &error_text}, deadline);
    const int status =
        drained ? child.wait(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()))
                : -1;
    if (status < 0)
        throw Error({.kind = ErrorKind::timed_out,
                     .action = action,
                     .subject = subject,
                     .cause = fmt::format("{} did not end within {} s", command.argv.front(),
                                          command.deadline.count()),
                     .remedy = "try again, or see what it waits for by running it by hand"});
    if (status != 0)
        throw Error({.kind = ErrorKind::failed,
                     .action = action,
                     .subject = subject,
                     .cause = fmt::format("{} ended with {}: {}", command.argv.front(), ending(status),
                                          last_lines(error_text.empty() ? text : error_text)),
                     .remedy = {}});
    return text;
}

}  // namespace outboard::lab
