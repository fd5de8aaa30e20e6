#include "outboard/host/sandbox.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/host/sandbox_parts.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>

#include <cap-ng.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace outboard {

namespace {

constexpr const char* process = "this process";

/// libc reserves 64 MiB of addresses or more for the heap of each thread, and takes memory there as it goes.
constexpr std::uint64_t reserved_addresses = std::uint64_t{8} << 30;

[[noreturn]] void refuse(ErrorKind kind, std::string cause, std::string remedy) {
    throw Error({.kind = kind,
                 .action = "put into a sandbox",
                 .subject = process,
                 .cause = std::move(cause),
                 .remedy = std::move(remedy)});
}

void require_one_thread() {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    if (std::distance(begin(tasks), end(tasks)) != 1)
        refuse(ErrorKind::failed, "it has several threads, and only one of them would be in it",
               "start threads afterwards");
}

// ---- limits ----

/// The number of bytes behind "NAME:" in /proc/self/status.
std::uint64_t status_bytes(std::string_view status, std::string_view name) {
    std::uint64_t kibibytes = 0;
    const std::size_t line = status.find(name);
    const std::size_t digits = status.find_first_of("0123456789", line);
    if (line == std::string_view::npos || digits == std::string_view::npos)
        refuse(ErrorKind::failed, fmt::format("/proc/self/status does not tell its {}", name), {});
    std::from_chars(status.data() + digits, status.data() + status.size(), kibibytes);
    return kibibytes * 1024;
}

/// One more than the highest descriptor in use.
std::uint64_t descriptors_end() {
    std::uint64_t end = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        const std::string name = entry.path().filename();
        std::uint64_t number = 0;
        std::from_chars(name.data(), name.data() + name.size(), number);
        end = std::max(end, number + 1);
    }
    return end;
}

/// Hard and soft; a limit that is lower already stays, but for one that the process needs.
void limit(__rlimit_resource resource, std::uint64_t value, bool may_raise = false) {
    rlimit now{};
    if (::getrlimit(resource, &now) != 0)
        throw_errno(errno, "read", "a resource limit");
    const rlim_t wanted = may_raise ? value : std::min<rlim_t>(value, now.rlim_max);
    const rlimit limits{.rlim_cur = wanted, .rlim_max = wanted};
    if (::setrlimit(resource, &limits) != 0)
        throw_errno(errno, fmt::format("set resource limit {} to {} for", static_cast<int>(resource), wanted),
                    process, wanted > now.rlim_max ? "raise its hard limit, or do it as root" : "");
}

void set_limits(const SandboxRules& rules) {
    const SandboxLimits& limits = rules.limits;
    const std::string status = read_text("/proc/self/status");
    limit(RLIMIT_DATA, status_bytes(status, "VmData:") + limits.memory);
    const std::uint64_t addresses =
        status_bytes(status, "VmSize:") + limits.memory + limits.mappings + reserved_addresses;
    limit(RLIMIT_AS, addresses);
    limit(RLIMIT_NOFILE, descriptors_end() + limits.descriptors);
    limit(RLIMIT_MSGQUEUE, 0);
    limit(RLIMIT_RTPRIO, 0);
    limit(RLIMIT_NICE, 0);
    if (limits.tasks)
        limit(RLIMIT_NPROC, *limits.tasks);
    if (limits.locked_memory)
        limit(RLIMIT_MEMLOCK, *limits.locked_memory, true);
    else if (status_bytes(status, "VmLck:") != 0)
        limit(RLIMIT_MEMLOCK, addresses, ::geteuid() == 0);
    if (!rules.core_dumps)
        limit(RLIMIT_CORE, 0);
}

// ---- user and capabilities ----

bool can(unsigned capability) {
    return ::capng_have_capability(CAPNG_EFFECTIVE, capability) == 1;
}

void drop_rights(const std::optional<SandboxUser>& user) {
    if ((user ? user->user : ::geteuid()) == 0)
        refuse(ErrorKind::usage, "it would be root there, whose files are most of the system",
               "name a user for it");
    if (::capng_get_caps_process() != 0)
        refuse(ErrorKind::failed, "its capabilities cannot be read", {});
    const bool bounding = can(CAP_SETPCAP);
    ::capng_clear(CAPNG_SELECT_ALL);
    if (user) {
        // libcap-ng knows the order: groups while it may, the bounding set while it may, the user last.
        const auto flags = static_cast<capng_flags_t>(CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_AMBIENT |
                                                      (bounding ? CAPNG_CLEAR_BOUNDING : 0));
        if (const int result =
                ::capng_change_id(static_cast<int>(user->user), static_cast<int>(user->group), flags);
            result != 0)
            refuse(ErrorKind::not_permitted,
                   fmt::format("it cannot become user {} of group {} (step {} of capng_change_id)",
                               user->user, user->group, -result),
                   "start it as root");
    } else {
        const int sets = CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT | (bounding ? CAPNG_SELECT_BOUNDS : 0);
        if (const int result = ::capng_apply(static_cast<capng_select_t>(sets)); result != 0)
            refuse(ErrorKind::failed, fmt::format("its capabilities cannot be dropped (step {})", -result),
                   {});
    }
    if (::capng_get_caps_process() != 0 || ::capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE ||
        ::setuid(0) == 0)
        refuse(ErrorKind::failed, "it has capabilities still, or can be root again", {});
}

void set_process_flags(bool core_dumps) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        throw_errno(errno, "forbid new privileges to", process);
    // The change of the user has switched it off, whatever it was before.
    if (::prctl(PR_SET_DUMPABLE, core_dumps ? 1 : 0, 0, 0, 0) != 0)
        throw_errno(errno, "switch core dumps of", process);
}

}  // namespace

SandboxReport enter_sandbox(const SandboxRules& rules, const std::function<void()>& load) {
    SandboxReport report;
    require_one_thread();
    detail::CallFilters filters(rules);
    set_limits(rules);
    detail::leave_namespaces(report);
    drop_rights(rules.user);
    set_process_flags(rules.core_dumps);
    detail::restrict_by_landlock(report);
    detail::answer_path_calls(rules);
    filters.install();
    if (load)
        load();
    detail::refuse_driver_path();
    filters.seal();
    return report;
}

}  // namespace outboard
