#include "outboard/backend/vfio/memory_lock.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"

#include <cerrno>
#include <charconv>
#include <limits>
#include <string_view>

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/resource.h>

namespace outboard::vfio {

namespace {

constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

/// The number behind "NAME:" in a /proc/PID/status; 0 when the line is missing.
std::uint64_t status_number(std::string_view status, std::string_view name, int base) {
    std::uint64_t value = 0;
    const std::size_t line = status.find(name);
    if (line == std::string_view::npos)
        return value;
    const std::size_t digits = status.find_first_not_of(" \t", line + name.size());
    if (digits != std::string_view::npos)
        std::from_chars(status.data() + digits, status.data() + status.size(), value, base);
    return value;
}

std::uint64_t kibibytes(std::uint64_t bytes) {
    return bytes / 1024 + (bytes % 1024 != 0 ? 1 : 0);
}

std::uint64_t limit(rlim_t value) {
    return value == RLIM_INFINITY ? no_limit : value;
}

}  // namespace

MemoryLock parse_memory_lock(const std::string& status) {
    MemoryLock lock;
    lock.locked = status_number(status, "VmLck:", 10) * 1024;
    lock.exempt = (status_number(status, "CapEff:", 16) >> CAP_IPC_LOCK & 1) != 0;
    return lock;
}

MemoryLock current_memory_lock() {
    MemoryLock lock = parse_memory_lock(read_text("/proc/self/status"));
    rlimit limits{};
    if (::getrlimit(RLIMIT_MEMLOCK, &limits) != 0)
        throw_errno(errno, "read", "the memory-lock limit");
    lock.soft_limit = limit(limits.rlim_cur);
    lock.hard_limit = limit(limits.rlim_max);
    return lock;
}

void throw_memory_lock(const MemoryLock& lock, std::uint64_t size, const std::string& device) {
    const std::uint64_t needed = lock.locked + size;
    const std::string remedy =
        lock.hard_limit >= needed
            ? fmt::format("run `ulimit -l {}` first (the hard limit allows it)", kibibytes(needed))
            : fmt::format(
                  "raise it to at least {0} KiB: `ulimit -l {0}` in a root shell, memlock in "
                  "/etc/security/limits.conf, or LimitMEMLOCK={0}K in a systemd unit",
                  kibibytes(needed));
    throw Error(
        {.kind = ErrorKind::not_permitted,
         .action = fmt::format("map {} KiB of memory for DMA by", kibibytes(size)),
         .subject = device,
         .cause = fmt::format("such memory is locked, and the memory-lock limit (RLIMIT_MEMLOCK) is too low: "
                              "the limit is {} KiB, {} KiB are locked already, {} KiB are needed in all",
                              lock.soft_limit / 1024, lock.locked / 1024, kibibytes(needed)),
         .remedy = remedy});
}

void check_memory_lock(const MemoryLock& lock, std::uint64_t size, const std::string& device) {
    if (!lock.allows(size))
        throw_memory_lock(lock, size, device);
}

}  // namespace outboard::vfio
