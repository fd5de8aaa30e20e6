// The system calls of a host at work: those of a run loop, of threads, of VFIO, and nothing that makes a
// descriptor but an eventfd. By number and by the arguments that a filter can see.
#include "outboard/base/error.hpp"
#include "outboard/host/sandbox_parts.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <liburing.h>
#include <linux/vfio.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace outboard::detail {

namespace {

using Condition = scmp_arg_cmp;

constexpr Condition equals(unsigned argument, std::uint64_t value) {
    return {.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0};
}

/// Of the bits of `mask` the argument has those of `value`.
constexpr Condition masked(unsigned argument, std::uint64_t mask, std::uint64_t value) {
    return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

std::uint64_t descriptor(int fd) {
    return static_cast<std::uint32_t>(fd);
}

/// One filter being made.
class Filter {
  public:
    explicit Filter(std::uint32_t default_action) : filter_(::seccomp_init(default_action)) {
        if (!filter_)
            throw std::bad_alloc();
    }
    void set(scmp_filter_attr attribute, std::uint32_t value) {
        require(::seccomp_attr_set(filter_.get(), attribute, value));
    }
    void add(std::uint32_t action, int call, std::initializer_list<Condition> conditions = {}) {
        require(::seccomp_rule_add_array(filter_.get(), action, call,
                                         static_cast<unsigned>(conditions.size()), conditions.begin()));
    }
    void allow(int call, std::initializer_list<Condition> conditions = {}) {
        add(SCMP_ACT_ALLOW, call, conditions);
    }
    std::unique_ptr<void, ReleaseFilter> take() noexcept { return std::move(filter_); }

  private:
    static void require(int result) {
        if (result < 0)
            throw_errno(-result, "make", "the sandbox's filter of system calls");
    }

    std::unique_ptr<void, ReleaseFilter> filter_;
};

std::uint32_t refusal(RefusedCall answer) {
    return answer == RefusedCall::kills ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM);
}

void allow_ring_and_files(Filter& filter) {
    for (const int call :
         {SCMP_SYS(io_uring_enter), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
          SCMP_SYS(writev), SCMP_SYS(pwritev), SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(close),
          SCMP_SYS(eventfd2), SCMP_SYS(poll), SCMP_SYS(ppoll)})
        filter.allow(call);
    // What else can be registered is up to each ring's own restrictions.
    for (const unsigned opcode :
         {IORING_REGISTER_ENABLE_RINGS, IORING_REGISTER_RING_FDS, IORING_UNREGISTER_RING_FDS,
          IORING_REGISTER_PBUF_RING, IORING_UNREGISTER_PBUF_RING})
        filter.allow(SCMP_SYS(io_uring_register), {equals(1, opcode)});
    // No copies of descriptors: a number keeps its meaning for what is allowed by number here.
    for (const unsigned command :
         {unsigned{F_GETFD}, unsigned{F_SETFD}, unsigned{F_GETFL}, unsigned{F_GET_SEALS}})
        filter.allow(SCMP_SYS(fcntl), {equals(1, command)});
}

void allow_memory(Filter& filter) {
    for (const int call : {SCMP_SYS(munmap), SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(brk)})
        filter.allow(call);
    // A descriptor's memory; or memory of its own, which RLIMIT_DATA counts: neither shared nor huge pages.
    filter.allow(SCMP_SYS(mmap), {masked(3, MAP_ANONYMOUS, 0)});
    filter.allow(SCMP_SYS(mmap), {masked(3, MAP_ANONYMOUS | MAP_SHARED | MAP_HUGETLB, MAP_ANONYMOUS)});
    constexpr unsigned collapse = 25;  // MADV_COLLAPSE (Linux 6.1)
    constexpr unsigned guard_install = 102;
    constexpr unsigned guard_remove = 103;
    for (const unsigned advice :
         {unsigned{MADV_DONTNEED}, unsigned{MADV_FREE}, unsigned{MADV_HUGEPAGE}, unsigned{MADV_NOHUGEPAGE},
          unsigned{MADV_DONTDUMP}, unsigned{MADV_DODUMP}, unsigned{MADV_POPULATE_READ},
          unsigned{MADV_POPULATE_WRITE}, collapse, guard_install, guard_remove})
        filter.allow(SCMP_SYS(madvise), {equals(2, advice)});
}

void allow_threads_and_time(Filter& filter) {
    for (const int call : {SCMP_SYS(futex),         SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
                           SCMP_SYS(exit),          SCMP_SYS(exit_group),      SCMP_SYS(sched_yield),
                           SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask),  SCMP_SYS(rt_sigreturn),
                           SCMP_SYS(sigaltstack),   SCMP_SYS(restart_syscall), SCMP_SYS(getpid),
                           SCMP_SYS(gettid),        SCMP_SYS(getuid),          SCMP_SYS(geteuid),
                           SCMP_SYS(getgid),        SCMP_SYS(getegid),         SCMP_SYS(getrandom),
                           SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres),    SCMP_SYS(clock_nanosleep),
                           SCMP_SYS(nanosleep),     SCMP_SYS(gettimeofday),    SCMP_SYS(getrlimit)})
        filter.allow(call);
    // A thread as libc makes it, no process and no namespace. clone3 hides its flags from a filter; libc does
    // without it where it is missing.
    filter.allow(SCMP_SYS(clone),
                 {equals(0, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |
                                CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)});
    filter.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
    filter.allow(SCMP_SYS(tgkill), {equals(0, static_cast<std::uint64_t>(::getpid()))});
    filter.allow(SCMP_SYS(sched_getaffinity), {equals(0, 0)});
    // To read a limit of its own, not to set one.
    filter.allow(SCMP_SYS(prlimit64), {equals(0, 0), equals(2, 0)});
    constexpr unsigned set_vma = 0x53564d41;  // PR_SET_VMA: names for memory, which newer libcs give
    for (const unsigned option :
         {unsigned{PR_SET_NAME}, unsigned{PR_GET_TIMERSLACK}, unsigned{PR_SET_TIMERSLACK}, set_vma})
        filter.allow(SCMP_SYS(prctl), {equals(0, option)});
}

void allow_device_and_sockets(Filter& filter, const SandboxRules& rules) {
    for (const std::uint64_t request : {VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_REGION_INFO,
                                        VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS, VFIO_DEVICE_RESET})
        filter.allow(SCMP_SYS(ioctl), {equals(1, request)});
    // By descriptor too: with a device these numbers are a reset of its whole bus.
    if (rules.container >= 0)
        for (const std::uint64_t request : {VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA})
            filter.allow(SCMP_SYS(ioctl), {equals(0, descriptor(rules.container)), equals(1, request)});
    for (const int socket : rules.sockets) {
        for (const int call : {SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(recvfrom)})
            filter.allow(call, {equals(0, descriptor(socket))});
        filter.allow(SCMP_SYS(sendto), {equals(0, descriptor(socket)), equals(4, 0)});
    }
    if (rules.replaceable_socket >= 0)
        filter.allow(SCMP_SYS(dup3), {equals(1, descriptor(rules.replaceable_socket))});
}

void add_common(Filter& filter) {
    filter.set(SCMP_FLTATR_API_SYSRAWRC, 1);
    filter.set(SCMP_FLTATR_CTL_NNP, 0);  // it is set already, and the first filter refuses to do it again
    filter.set(SCMP_FLTATR_CTL_LOG, 1);
    filter.set(SCMP_FLTATR_CTL_TSYNC, 1);
    filter.set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
}

/// Everything but what is listed here is refused.
Filter make_call_filter(const SandboxRules& rules) {
    Filter filter(refusal(rules.refused_call));
    add_common(filter);
    filter.set(SCMP_FLTATR_CTL_OPTIMIZE, 2);
    allow_ring_and_files(filter);
    allow_memory(filter);
    allow_threads_and_time(filter);
    allow_device_and_sockets(filter, rules);
    filter.add(SCMP_ACT_TRAP, SCMP_SYS(openat));
    filter.add(SCMP_ACT_TRAP, SCMP_SYS(newfstatat));
    // What answer_path_calls() and seal() need; the second filter takes them away again.
    if (rules.driver_file >= 0)
        filter.allow(SCMP_SYS(dup), {equals(0, descriptor(rules.driver_file))});
    filter.allow(SCMP_SYS(seccomp));
    return filter;
}

/// Everything goes on to the first filter but code in memory, and what was needed to get it there.
Filter make_code_filter(const SandboxRules& rules) {
    const std::uint32_t refused = refusal(rules.refused_call);
    Filter filter(SCMP_ACT_ALLOW);
    add_common(filter);
    filter.add(refused, SCMP_SYS(mmap), {masked(2, PROT_EXEC, PROT_EXEC)});
    filter.add(refused, SCMP_SYS(mprotect), {masked(2, PROT_EXEC, PROT_EXEC)});
    filter.add(refused, SCMP_SYS(dup));
    filter.add(refused, SCMP_SYS(seccomp));
    if (rules.refused_call == RefusedCall::kills)
        filter.add(refused, SCMP_SYS(openat));
    return filter;
}

void load(void* filter) {
    if (const int result = ::seccomp_load(filter); result < 0)
        throw_errno(-result, "install", "the sandbox's filter of system calls",
                    result == -EINVAL ? "use a kernel with CONFIG_SECCOMP_FILTER" : "");
}

}  // namespace

void ReleaseFilter::operator()(void* filter) const noexcept {
    ::seccomp_release(filter);
}

CallFilters::CallFilters(const SandboxRules& rules)
    : calls_(make_call_filter(rules).take()), code_(make_code_filter(rules).take()) {}

void CallFilters::install() {
    load(calls_.get());
}

void CallFilters::seal() {
    load(code_.get());
}

}  // namespace outboard::detail
