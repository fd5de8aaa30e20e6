// The part of the sandbox that Landlock enforces: beside the filter of system calls, for whoever finds a way
// past that.
#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/host/sandbox_parts.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <sys/syscall.h>
#include <unistd.h>

namespace outboard::detail {

namespace {

/// struct landlock_ruleset_attr of version 6. Older kernels take a shorter one, or this one with zeroes where
/// theirs ends; Debian 12's header is that of version 2.
struct RulesetAttributes {
    std::uint64_t files = 0;
    std::uint64_t network = 0;
    std::uint64_t scopes = 0;
};
static_assert(sizeof(RulesetAttributes) == 24 && offsetof(RulesetAttributes, scopes) == 16);

constexpr unsigned long ask_version = 1;  // LANDLOCK_CREATE_RULESET_VERSION

/// Bits of `files`, without those for what is open already.
constexpr std::uint64_t file_rights(int version) {
    constexpr std::uint64_t first = (std::uint64_t{1} << 13) - 1;
    constexpr std::uint64_t refer = std::uint64_t{1} << 13;
    constexpr std::uint64_t truncate = std::uint64_t{1} << 14;
    constexpr std::uint64_t device_ioctl = std::uint64_t{1} << 15;
    return first | (version >= 2 ? refer : 0) | (version >= 3 ? truncate : 0) |
           (version >= 5 ? device_ioctl : 0);
}

constexpr std::uint64_t network_rights(int version) {
    constexpr std::uint64_t bind_tcp = 1;
    constexpr std::uint64_t connect_tcp = 2;
    return version >= 4 ? bind_tcp | connect_tcp : 0;
}

constexpr std::uint64_t scopes(int version) {
    constexpr std::uint64_t abstract_sockets = 1;
    constexpr std::uint64_t signals = 2;
    return version >= 6 ? abstract_sockets | signals : 0;
}

}  // namespace

void restrict_by_landlock(SandboxReport& report) {
    const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, std::size_t{0}, ask_version);
    if (version < 1) {
        report.absent.push_back("Landlock: " + errno_text(errno) +
                                "; without it only the filter of system calls keeps files away");
        return;
    }
    report.landlock = static_cast<int>(version);
    const RulesetAttributes attributes{.files = file_rights(report.landlock),
                                       .network = network_rights(report.landlock),
                                       .scopes = scopes(report.landlock)};
    const Fd ruleset(
        static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0UL)));
    if (!ruleset || ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0UL) != 0)
        throw_errno(errno, "restrict by Landlock", "this process");
    if (report.landlock < 4)
        report.absent.emplace_back("Landlock for the network (Linux 6.7)");
    if (report.landlock < 6)
        report.absent.emplace_back("Landlock for signals and abstract sockets (Linux 6.12)");
}

}  // namespace outboard::detail
