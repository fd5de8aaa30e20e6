#include "outboard/runtime/ring.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"

#include <cerrno>
#include <string>

namespace outboard::detail {

namespace {

[[noreturn]] void explain_no_ring(int error) {
    const std::string action = "create";
    const std::string subject = "an io_uring";
    const auto disabled = try_read_text("/proc/sys/kernel/io_uring_disabled");
    if (error == EPERM && disabled && *disabled != "0")
        throw Error(
            {ErrorKind::unsupported, action, subject,
             "io_uring is switched off on this machine (kernel.io_uring_disabled is " + *disabled + ")",
             "set it to 0: sysctl kernel.io_uring_disabled=0"});
    if (error == EPERM || error == ENOSYS)
        throw Error({ErrorKind::unsupported, action, subject,
                     "the kernel has no io_uring, or a sandbox forbids it: " + errno_text(error),
                     "use Linux 6.1 or newer, and let io_uring_setup through the sandbox's filter"});
    if (error == EINVAL)
        throw Error({ErrorKind::unsupported, action, subject,
                     "this kernel lacks deferred task work or 128-byte entries (IORING_SETUP_DEFER_TASKRUN, "
                     "IORING_SETUP_SQE128), or the ring is too large",
                     "use Linux 6.1 or newer"});
    throw_errno(error, action, subject,
                error == ENOMEM ? "raise the memory-lock limit (ulimit -l) or free memory" : "");
}

}  // namespace

io_uring make_ring(unsigned entries, bool disabled) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                   IORING_SETUP_SQE128 | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
    if (disabled)
        params.flags |= IORING_SETUP_R_DISABLED;
    params.cq_entries = 4 * entries;
    io_uring ring{};
    if (const int result = io_uring_queue_init_params(entries, &ring, &params); result < 0)
        explain_no_ring(-result);
    return ring;
}

int restrict_ring(io_uring& ring, std::span<io_uring_restriction> allowed) noexcept {
    // liburing 2.3 has functions for these two, but leaves them out of its shared library.
    return io_uring_register(static_cast<unsigned>(ring.ring_fd), IORING_REGISTER_RESTRICTIONS,
                             allowed.data(), static_cast<unsigned>(allowed.size()));
}

int enable_ring(io_uring& ring) noexcept {
    return io_uring_register(static_cast<unsigned>(ring.ring_fd), IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
}

}  // namespace outboard::detail
