#include "outboard/supervisor/host_process.hpp"

#include "outboard/base/error.hpp"
#include "outboard/supervisor/spawn.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard {

HostProcess::HostProcess(RunLoop& loop, const std::filesystem::path& program, hosting::Inbox::Handler handler)
    : loop_(&loop) {
    auto [socket, there] = PacketSocket::make_pair();
    pid_ = spawn(program, {}, there.get());
    process_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!process_) {
        const int error = errno;
        ::kill(pid_, SIGKILL);
        throw_errno(error, "watch", fmt::format("process {}", pid_));
    }
    inbox_ = std::make_unique<hosting::Inbox>(loop, std::move(socket), std::move(handler));
}

HostProcess::HostProcess(RunLoop& loop, int pid, Fd process, Fd socket, hosting::Inbox::Handler handler)
    : loop_(&loop),
      pid_(pid),
      process_(std::move(process)),
      inbox_(std::make_unique<hosting::Inbox>(loop, PacketSocket(std::move(socket)), std::move(handler))) {}

HostProcess::~HostProcess() {
    if (reaped_)
        return;
    kill();
    pollfd ended{.fd = process_.get(), .events = POLLIN, .revents = 0};
    ::poll(&ended, 1, 1000);
    how_it_ended();
}

void HostProcess::send(const hosting::ToHost& message, int descriptor) {
    inbox_->socket().send(hosting::encode(message), std::span(&descriptor, descriptor >= 0 ? 1 : 0));
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
