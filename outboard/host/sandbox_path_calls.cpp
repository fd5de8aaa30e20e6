// Calls that name a file, answered in the process itself: a filter cannot see what a path says.
#include "outboard/base/error.hpp"
#include "outboard/host/sandbox_parts.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef __x86_64__
#error "Say here where this architecture keeps the arguments and the result of a system call."
#endif

namespace outboard::detail {

namespace {

/// Read by the signal handler, which may run at any time in any thread.
std::atomic<const char*> driver_path{nullptr};
int driver_file = -1;

/// The result, or a negative errno value.
long open_driver(const char* path) noexcept {
    const char* const allowed = driver_path.load();
    if (allowed == nullptr || std::strcmp(path, allowed) != 0)
        return -EPERM;
    const int copy = ::dup(driver_file);
    return copy < 0 ? -errno : copy;
}

long stat_descriptor(long fd, const char* path, long buffer, long flags) noexcept {
    if ((flags & AT_EMPTY_PATH) == 0 || path == nullptr || *path != '\0')
        return -EPERM;
    return ::syscall(SYS_fstat, fd, buffer) < 0 ? -errno : 0;
}

void on_path_call(int, siginfo_t* information, void* context) noexcept {
    const int error = errno;
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    const auto* const path = reinterpret_cast<const char*>(registers[REG_RSI]);
    long result = -EPERM;
    if (information->si_syscall == SYS_openat)
        result = open_driver(path);
    else if (information->si_syscall == SYS_newfstatat)
        result = stat_descriptor(registers[REG_RDI], path, registers[REG_RDX], registers[REG_R10]);
    registers[REG_RAX] = result;
    errno = error;
}

}  // namespace

void answer_path_calls(const SandboxRules& rules) {
    static std::string path;
    path = rules.driver_path;
    driver_file = rules.driver_file;
    if (driver_file >= 0) {
        if (::lseek(driver_file, 0, SEEK_SET) != 0)
            throw_errno(errno, "read", path);
        driver_path.store(path.c_str());
    }
    struct sigaction action{};
    action.sa_sigaction = on_path_call;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    if (::sigaction(SIGSYS, &action, nullptr) != 0)
        throw_errno(errno, "handle", "calls that are not allowed");
}

void refuse_driver_path() noexcept {
    driver_path.store(nullptr);
}

}  // namespace outboard::detail
