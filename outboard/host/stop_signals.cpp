#include "outboard/host/stop_signals.hpp"

#include "outboard/base/error.hpp"

#include <cerrno>
#include <csignal>

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace outboard {

namespace {

sigset_t stop_set() {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGINT);
    ::sigaddset(&set, SIGTERM);
    // A blocked signal is delivered even where it is ignored, which is what nohup asks for.
    struct sigaction hang_up{};
    if (::sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN)
        ::sigaddset(&set, SIGHUP);
    return set;
}

}  // namespace

StopSignals::StopSignals() {
    const sigset_t set = stop_set();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    file_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!file_)
        throw_errno(errno, "wait for", "signals");
}

StopSignals::~StopSignals() {
    const sigset_t set = stop_set();
    ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

Task<void> StopSignals::next(RunLoop& loop) {
    while (!take()) {
        const int result = co_await loop.poll(file_.get(), POLLIN);
        if (result < 0)
            throw_errno(-result, "wait for", "signals");
    }
}

void StopSignals::wait() {
    while (!take()) {
        pollfd readable{.fd = file_.get(), .events = POLLIN, .revents = 0};
        ::poll(&readable, 1, -1);
    }
}

bool StopSignals::take() noexcept {
    signalfd_siginfo information{};
    return ::read(file_.get(), &information, sizeof information) == sizeof information;
}

}  // namespace outboard
