#include "outboard/supervisor/host_process.hpp"

#include "outboard/base/error.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard {

namespace {

constexpr int socket_in_host = 3;

/// What posix_spawn needs to be told, freed when it goes.
class SpawnPlan {
  public:
    explicit SpawnPlan(int socket) {
        ::posix_spawn_file_actions_init(&actions_);
        ::posix_spawnattr_init(&attributes_);
        sigset_t none;
        sigset_t all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        // The supervisor blocks and ignores signals that the host has its own mind about; and what is typed
        // at a terminal is for the supervisor.
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        ::posix_spawnattr_setsigdefault(&attributes_, &all);
        ::posix_spawnattr_setflags(&attributes_,
                                   POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
        ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        ::posix_spawn_file_actions_adddup2(&actions_, socket, socket_in_host);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;
    SpawnPlan(SpawnPlan&&) = delete;
    SpawnPlan& operator=(SpawnPlan&&) = delete;
    ~SpawnPlan() {
        ::posix_spawn_file_actions_destroy(&actions_);
        ::posix_spawnattr_destroy(&attributes_);
    }

    /// 0 or an errno value.
    int spawn(const std::filesystem::path& program, pid_t& pid) const {
        std::string name = program.filename().string();
        const std::array<char*, 2> arguments{name.data(), nullptr};
        return ::posix_spawn(&pid, program.c_str(), &actions_, &attributes_, arguments.data(), environ);
    }

  private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

}  // namespace

HostProcess::HostProcess(RunLoop& loop, const std::filesystem::path& program, hosting::Inbox::Handler handler)
    : loop_(&loop) {
    auto [socket, there] = PacketSocket::make_pair();
    const SpawnPlan plan(there.get());
    if (const int error = plan.spawn(program, pid_); error != 0)
        throw_errno(error, "start", program.string());
    process_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!process_) {
        const int error = errno;
        ::kill(pid_, SIGKILL);
        throw_errno(error, "watch", fmt::format("process {}", pid_));
    }
    inbox_ = std::make_unique<hosting::Inbox>(loop, std::move(socket), std::move(handler));
}

HostProcess::~HostProcess() {
    if (reaped_)
        return;
    kill();
    pollfd ended{.fd = process_.get(), .events = POLLIN, .revents = 0};
    ::poll(&ended, 1, 1000);
    how_it_ended();
}

void HostProcess::send(const hosting::ToHost& message, int descriptor, int second) {
    const std::array descriptors{descriptor, second};
    const std::size_t count = descriptor < 0 ? 0 : second < 0 ? 1 : 2;
    inbox_->socket().send(hosting::encode(message), std::span(descriptors).first(count));
}

bool HostProcess::alive() const noexcept {
    pollfd ended{.fd = process_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ended, 1, 0) == 0;
}

Task<void> HostProcess::ended() {
    const int result = co_await loop_->poll(process_.get(), POLLIN);
    if (result < 0)
        throw_errno(-result, "wait for", fmt::format("process {}", pid_));
}

std::string HostProcess::how_it_ended() {
    siginfo_t information{};
    if (::waitid(P_PIDFD, static_cast<id_t>(process_.get()), &information, WEXITED | WNOHANG) != 0 ||
        information.si_pid == 0)
        return "in an unknown way";
    reaped_ = true;
    if (information.si_code == CLD_EXITED)
        return fmt::format("exit status {}", information.si_status);
    const char* const name = ::sigabbrev_np(information.si_status);
    return fmt::format("signal {} (SIG{})", information.si_status, name ? name : "?");
}

void HostProcess::kill() noexcept {
    ::syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0);
}

}  // namespace outboard
