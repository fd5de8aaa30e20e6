// A driver that means harm, for the tests of the sandbox: it tries everything that it should not be able to
// do, and reports of each attempt how it failed: "NAME<tab>OUTCOME". An outcome that begins with SUCCEEDED is
// a hole.
#include "outboard/classes/driver_module.hpp"
#include "outboard/drivers/edu/registers.hpp"
#include "outboard/runtime/deadline.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace outboard::hostile {

namespace {

constexpr std::array devices{PciMatch{.vendor = 0x1234, .device = 0x11e8, .name = "a device taken hostage"}};

const char* error_name(int error) {
    return ::strerrorname_np(error);
}

/// What a system call made of it.
std::string outcome(long result) {
    return result < 0 ? std::string(error_name(errno)) : fmt::format("SUCCEEDED with {}", result);
}

template <class... Arguments>
std::string call(long number, Arguments... arguments) {
    return outcome(::syscall(number, arguments...));
}

const char* const password_file = "/etc/passwd";

/// What a constructor of the module tried, before anybody called the driver.
struct InConstructor {
    InConstructor()
        : file(call(SYS_openat, AT_FDCWD, password_file, O_RDONLY)),
          old_open(call(SYS_open, password_file, O_RDONLY)),
          socket(call(SYS_socket, AF_INET, SOCK_STREAM, 0)),
          ring(call(SYS_io_uring_setup, 8, nullptr)),
          child(call(SYS_clone, SIGCHLD, 0, 0, 0, 0)) {}
    std::string file;
    std::string old_open;
    std::string socket;
    std::string ring;
    std::string child;
};
const InConstructor in_constructor;

struct Attempt {
    const char* name;
    std::function<std::string()> make;
};

// ---- system calls ----

std::vector<Attempt> attempts_on_files() {
    return {
        {"constructor: open a file", [] { return in_constructor.file; }},
        {"constructor: open a file by the old call", [] { return in_constructor.old_open; }},
        {"constructor: make a socket", [] { return in_constructor.socket; }},
        {"constructor: make a ring", [] { return in_constructor.ring; }},
        {"constructor: fork", [] { return in_constructor.child; }},
        {"open a file", [] { return call(SYS_openat, AT_FDCWD, password_file, O_RDONLY); }},
        {"open a file by the old call", [] { return call(SYS_open, password_file, O_RDONLY); }},
        {"open a file by openat2",
         [] {
             const std::array<std::uint64_t, 3> how{};
             return call(SYS_openat2, AT_FDCWD, password_file, how.data(), sizeof how);
         }},
        {"create a file", [] { return call(SYS_creat, "/tmp/outboard-hostile", 0600); }},
        {"open its own memory as a file",
         [] { return call(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR); }},
        {"open a file by its handle",
         [] { return call(SYS_open_by_handle_at, AT_FDCWD, nullptr, O_RDONLY); }},
        {"open the machine's memory", [] { return call(SYS_openat, AT_FDCWD, "/dev/mem", O_RDWR); }},
        {"open VFIO", [] { return call(SYS_openat, AT_FDCWD, "/dev/vfio/vfio", O_RDWR); }},
        {"open the control of ublk", [] { return call(SYS_openat, AT_FDCWD, "/dev/ublk-control", O_RDWR); }},
        {"ask about a file",
         [] {
             std::array<char, 512> buffer{};
             return call(SYS_newfstatat, AT_FDCWD, password_file, buffer.data(), 0);
         }},
        {"ask about a file beside a descriptor",
         [] {
             std::array<char, 512> buffer{};
             return call(SYS_newfstatat, AT_FDCWD, password_file, buffer.data(), AT_EMPTY_PATH);
         }},
        {"ask about a file by statx", [] { return call(SYS_statx, AT_FDCWD, password_file, 0, 0, nullptr); }},
        {"ask for access to a file", [] { return call(SYS_faccessat, AT_FDCWD, password_file, R_OK); }},
        {"read a link", [] { return call(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", nullptr, 0); }},
        {"remove a file", [] { return call(SYS_unlinkat, AT_FDCWD, password_file, 0); }},
        {"change the mode of a file", [] { return call(SYS_fchmodat, AT_FDCWD, password_file, 0777); }},
        {"change the directory", [] { return call(SYS_chdir, "/"); }},
        {"change the root", [] { return call(SYS_chroot, "/"); }},
        {"mount", [] { return call(SYS_mount, "none", "/", "tmpfs", 0, nullptr); }},
        {"make a file in memory", [] { return call(SYS_memfd_create, "hostile", 0); }},
        {"copy a descriptor", [] { return call(SYS_dup, 1); }},
        {"copy a descriptor by fcntl", [] { return call(SYS_fcntl, 1, F_DUPFD, 0); }},
        {"have signals sent to others", [] { return call(SYS_fcntl, 1, F_SETOWN, ::getppid()); }},
        {"make a pipe", [] { return call(SYS_pipe2, nullptr, 0); }},
    };
}

std::vector<Attempt> attempts_on_network_and_others() {
    return {
        {"make a TCP socket", [] { return call(SYS_socket, AF_INET, SOCK_STREAM, 0); }},
        {"make a UNIX socket", [] { return call(SYS_socket, AF_UNIX, SOCK_STREAM, 0); }},
        {"make a netlink socket", [] { return call(SYS_socket, AF_NETLINK, SOCK_RAW, 0); }},
        {"make a pair of sockets",
         [] {
             std::array<int, 2> pair{};
             return call(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair.data());
         }},
        {"connect", [] { return call(SYS_connect, 0, nullptr, 0); }},
        {"take another process's descriptor", [] { return call(SYS_pidfd_getfd, 3, 0, 0); }},
        {"make a process descriptor", [] { return call(SYS_pidfd_open, ::getpid(), 0); }},
        {"share memory with another process (shmget)",
         [] { return call(SYS_shmget, 0x0b0a4d, 4096, 01666); }},
        {"open a message queue",
         [] { return call(SYS_mq_open, "hostile", O_CREAT | O_RDWR, 0666, nullptr); }},
        {"read another process's memory",
         [] {
             std::array<char, 8> bytes{};
             const iovec local{.iov_base = bytes.data(), .iov_len = bytes.size()};
             const iovec remote{.iov_base = bytes.data(), .iov_len = bytes.size()};
             return call(SYS_process_vm_readv, 1, &local, 1, &remote, 1, 0);
         }},
        {"write another process's memory",
         [] {
             std::array<char, 8> bytes{};
             const iovec local{.iov_base = bytes.data(), .iov_len = bytes.size()};
             return call(SYS_process_vm_writev, 1, &local, 1, &local, 1, 0);
         }},
        {"trace a process", [] { return call(SYS_ptrace, PTRACE_SEIZE, 1, 0, 0); }},
        {"let itself be traced", [] { return call(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0); }},
        {"kill process 1", [] { return call(SYS_kill, 1, 0); }},
        {"kill everybody", [] { return call(SYS_kill, -1, 0); }},
        {"signal a thread of another process", [] { return call(SYS_tgkill, 1, 1, 0); }},
        {"signal by the old call", [] { return call(SYS_tkill, 1, 0); }},
        {"queue a signal", [] { return call(SYS_rt_sigqueueinfo, 1, 0, nullptr); }},
        {"fork", [] { return call(SYS_fork); }},
        {"fork by vfork", [] { return call(SYS_clone, SIGCHLD, 0, 0, 0, 0); }},
        {"fork by clone3",
         [] {
             std::array<std::uint64_t, 11> arguments{};
             arguments[4] = SIGCHLD;
             return call(SYS_clone3, arguments.data(), sizeof arguments);
         }},
        {"make a user namespace", [] { return call(SYS_unshare, 0x10000000); }},
        {"enter a namespace", [] { return call(SYS_setns, 0, 0); }},
        {"execute a program", [] { return call(SYS_execve, "/bin/true", nullptr, nullptr); }},
        {"execute a descriptor", [] { return call(SYS_execveat, 0, "", nullptr, nullptr, AT_EMPTY_PATH); }},
    };
}

std::vector<Attempt> attempts_on_kernel() {
    return {
        {"make a ring", [] { return call(SYS_io_uring_setup, 8, nullptr); }},
        {"load a BPF program", [] { return call(SYS_bpf, 5, nullptr, 0); }},
        {"count events", [] { return call(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
        {"handle page faults", [] { return call(SYS_userfaultfd, 0); }},
        {"load a kernel module", [] { return call(SYS_init_module, nullptr, 0, ""); }},
        {"read the kernel log", [] { return call(SYS_syslog, 3, nullptr, 0); }},
        {"add a key", [] { return call(SYS_add_key, "user", "hostile", "x", 1, -3); }},
        {"restart the machine", [] { return call(SYS_reboot, 0xfee1dead, 672274793, 0, nullptr); }},
        {"set the clock", [] { return call(SYS_clock_settime, 0, nullptr); }},
        {"use I/O ports", [] { return call(SYS_ioperm, 0, 1024, 1); }},
        {"become root", [] { return call(SYS_setresuid, 0, 0, 0); }},
        {"change its groups", [] { return call(SYS_setgroups, 0, nullptr); }},
        {"take capabilities", [] { return call(SYS_capset, nullptr, nullptr); }},
        {"change its filter", [] { return call(SYS_seccomp, 0, 0, nullptr); }},
        {"change its execution domain", [] { return call(SYS_personality, 0x0400000); }},
        {"become traceable", [] { return call(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); }},
        {"survive its parent", [] { return call(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0); }},
        {"leave its session", [] { return call(SYS_setsid); }},
        {"reset the whole bus", [] { return call(SYS_ioctl, 0, VFIO_DEVICE_PCI_HOT_RESET, nullptr); }},
        {"map memory for DMA", [] { return call(SYS_ioctl, 0, VFIO_IOMMU_MAP_DMA, nullptr); }},
        {"get another device of the group", [] { return call(SYS_ioctl, 0, VFIO_GROUP_GET_DEVICE_FD, ""); }},
        {"type into a terminal", [] { return call(SYS_ioctl, 0, TIOCSTI, "x"); }},
    };
}

// ---- limits ----

std::string threads_without_end() {
    constexpr int far_too_many = 4096;
    std::vector<pthread_t> threads;
    static std::atomic<bool> over{false};
    const auto wait = [](void*) -> void* {
        over.wait(false);
        return nullptr;
    };
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, 64 << 10);
    int error = 0;
    while (error == 0 && threads.size() < far_too_many) {
        pthread_t thread{};
        error = ::pthread_create(&thread, &attributes, wait, nullptr);
        if (error == 0)
            threads.push_back(thread);
    }
    over.store(true);
    over.notify_all();
    for (const pthread_t thread : threads)
        ::pthread_join(thread, nullptr);
    return error == 0 ? fmt::format("SUCCEEDED with {}", threads.size())
                      : fmt::format("{} after {}", error_name(error), threads.size());
}

std::string memory_without_end() {
    constexpr std::size_t piece = 1 << 20;
    constexpr std::size_t far_too_many = 2048;
    std::vector<void*> pieces;
    std::string result = fmt::format("SUCCEEDED with {} MiB", far_too_many);
    while (pieces.size() < far_too_many) {
        void* const memory =
            ::mmap(nullptr, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            result = fmt::format("{} after {} MiB", error_name(errno), pieces.size());
            break;
        }
        std::memset(memory, 1, piece);
        pieces.push_back(memory);
    }
    for (void* const memory : pieces)
        ::munmap(memory, piece);
    return result;
}

std::string addresses_without_end() {
    const void* const memory =
        ::mmap(nullptr, std::size_t{1} << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? error_name(errno) : "SUCCEEDED";
}

std::string descriptors_without_end() {
    std::vector<int> descriptors;
    constexpr std::size_t far_too_many = 100'000;
    std::string result = fmt::format("SUCCEEDED with {}", far_too_many);
    while (descriptors.size() < far_too_many) {
        const int descriptor = ::eventfd(0, EFD_CLOEXEC);
        if (descriptor < 0) {
            result = fmt::format("{} after {}", error_name(errno), descriptors.size());
            break;
        }
        descriptors.push_back(descriptor);
    }
    for (const int descriptor : descriptors)
        ::close(descriptor);
    return result;
}

std::string map_failure(int protection, int flags) {
    const void* const memory = ::mmap(nullptr, std::size_t{2} << 20, protection, flags, -1, 0);
    return memory == MAP_FAILED ? error_name(errno) : "SUCCEEDED";
}

std::string code_in_writable_memory() {
    void* const memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return "no memory";
    return outcome(::mprotect(memory, 4096, PROT_READ | PROT_EXEC));
}

std::vector<Attempt> attempts_on_limits() {
    return {
        {"raise a limit",
         [] {
             const rlimit limits{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
             return call(SYS_setrlimit, RLIMIT_NOFILE, &limits);
         }},
        {"raise a limit by prlimit",
         [] {
             const rlimit limits{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
             return call(SYS_prlimit64, 0, RLIMIT_DATA, &limits, nullptr);
         }},
        {"change the limits of another process",
         [] {
             rlimit limits{};
             return call(SYS_prlimit64, 1, RLIMIT_NOFILE, nullptr, &limits);
         }},
        {"take a higher priority", [] { return call(SYS_setpriority, PRIO_PROCESS, 0, -20); }},
        {"take real-time priority",
         [] {
             const int priority = 99;
             return call(SYS_sched_setscheduler, 0, 1, &priority);
         }},
        {"take I/O priority", [] { return call(SYS_ioprio_set, 1, 0, 1 << 13); }},
        {"move to other processors",
         [] {
             const std::uint64_t all = ~std::uint64_t{0};
             return call(SYS_sched_setaffinity, 0, sizeof all, &all);
         }},
        {"lock memory", [] { return call(SYS_mlockall, 3); }},
        {"take memory without end", memory_without_end},
        {"take addresses without end", addresses_without_end},
        {"take shared memory", [] { return map_failure(PROT_READ, MAP_SHARED | MAP_ANONYMOUS); }},
        {"take huge pages",
         [] { return map_failure(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB); }},
        {"map memory for code",
         [] { return map_failure(PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS); }},
        {"make written memory code", code_in_writable_memory},
        {"take descriptors without end", descriptors_without_end},
        {"take threads without end", threads_without_end},
    };
}

// ---- the ring that it was given ----

struct RingAttempt {
    const char* name;
    std::uint8_t opcode;
};

constexpr std::array ring_attempts{
    RingAttempt{"ring: open a file", IORING_OP_OPENAT},
    RingAttempt{"ring: open a file by openat2", IORING_OP_OPENAT2},
    RingAttempt{"ring: ask about a file", IORING_OP_STATX},
    RingAttempt{"ring: remove a file", IORING_OP_UNLINKAT},
    RingAttempt{"ring: make a directory", IORING_OP_MKDIRAT},
    RingAttempt{"ring: make a socket", IORING_OP_SOCKET},
    RingAttempt{"ring: connect", IORING_OP_CONNECT},
    RingAttempt{"ring: accept", IORING_OP_ACCEPT},
    RingAttempt{"ring: send a message", IORING_OP_SENDMSG},
    RingAttempt{"ring: receive a message", IORING_OP_RECVMSG},
    RingAttempt{"ring: tell another ring", IORING_OP_MSG_RING},
    RingAttempt{"ring: splice", IORING_OP_SPLICE},
    RingAttempt{"ring: change registered files", IORING_OP_FILES_UPDATE},
    RingAttempt{"ring: provide buffers", IORING_OP_PROVIDE_BUFFERS},
};

Task<std::string> try_on_ring(RunLoop& loop, std::uint8_t opcode) {
    const auto fill = [opcode](io_uring_sqe* entry) {
        entry->opcode = opcode;
        entry->fd = AT_FDCWD;
        entry->addr = reinterpret_cast<std::uintptr_t>(password_file);
    };
    const int result = co_await loop.submit(fill);
    co_return result < 0 ? std::string(error_name(-result)) : fmt::format("SUCCEEDED with {}", result);
}

/// Every registration on every descriptor that is a ring; the loop's own is one of them.
std::string register_with_ring(unsigned opcode) {
    std::string result = "no ring";
    for (int descriptor = 0; descriptor < 64; ++descriptor) {
        std::array<char, 512> argument{};
        if (::syscall(SYS_io_uring_register, descriptor, opcode, argument.data(), 1) >= 0)
            return fmt::format("SUCCEEDED on descriptor {}", descriptor);
        if (errno != EBADF && errno != EOPNOTSUPP)
            result = error_name(errno);
    }
    return result;
}

std::vector<Attempt> attempts_on_registration() {
    return {
        {"ring: register files", [] { return register_with_ring(IORING_REGISTER_FILES); }},
        {"ring: register an eventfd", [] { return register_with_ring(IORING_REGISTER_EVENTFD); }},
        {"ring: register who it is", [] { return register_with_ring(IORING_REGISTER_PERSONALITY); }},
        {"ring: lift its restrictions", [] { return register_with_ring(IORING_REGISTER_RESTRICTIONS); }},
        {"ring: limit the kernel's workers",
         [] { return register_with_ring(IORING_REGISTER_IOWQ_MAX_WORKERS); }},
        {"ring: register buffers of the kernel's",
         [] { return register_with_ring(IORING_REGISTER_PBUF_RING); }},
    };
}

// ---- the device that it was given: QEMU's edu, whose DMA goes where it is told ----

constexpr std::size_t page = 4096;

Task<void> transfer(Device& device, RunLoop& loop, std::uint64_t source, std::uint64_t destination,
                    bool from_device) {
    const auto registers = device.region(RegionIndex::bar0).block<edu::register_bytes>();
    registers.write(Value<edu::DmaSource>(source));
    registers.write(Value<edu::DmaDestination>(destination));
    registers.write(Value<edu::DmaCount>(edu::buffer_bytes));
    auto command = Value<edu::DmaCommand>().with(edu::DmaCommand::start);
    if (from_device)
        command = command.with(edu::DmaCommand::from_device);
    registers.write(command);
    const auto is_over = [&] { return !registers.read<edu::DmaCommand>()[edu::DmaCommand::start]; };
    Task<void> waiting =
        wait_until(loop, is_over, std::chrono::seconds(5), std::chrono::milliseconds(1), "a transfer");
    co_await std::move(waiting);
}

/// Lets the device write and read a page at `target`, where the arena is not. What lies there begins with
/// 0x3c.
Task<void> try_dma(Device& device, RunLoop& loop, std::uint64_t target,
                   const std::function<void(const char*, const std::string&)>& tell) {
    device.set_bus_master(true);
    const DmaBuffer own = device.arena().allocate(page, page);
    std::memset(own.address(), 0xa5, page);
    Task<void> filling = transfer(device, loop, own.iova(), edu::buffer_address, false);
    co_await std::move(filling);
    Task<void> attack = transfer(device, loop, edu::buffer_address, target, true);
    co_await std::move(attack);
    tell("DMA: write outside of its memory", "the device was told to");
    Task<void> spying = transfer(device, loop, target, edu::buffer_address, false);
    co_await std::move(spying);
    Task<void> fetching = transfer(device, loop, edu::buffer_address, own.iova(), true);
    co_await std::move(fetching);
    const bool seen = own.address()[0] == std::byte{0x3c};
    tell("DMA: read outside of its memory", seen ? "SUCCEEDED" : "what lies there does not arrive");
}

// ---- the driver ----

class Hostile final : public Driver {
  public:
    Task<void> shut_down() override { co_return; }
};

Task<std::unique_ptr<Driver>> start(Device& device, RunLoop& loop, DriverOptions options) {
    const std::function<void(const char*, const std::string&)> tell =
        [&](const char* name, const std::string& how) { options.report(fmt::format("{}\t{}", name, how)); };
    for (const auto& attempts : {attempts_on_files(), attempts_on_network_and_others(), attempts_on_kernel(),
                                 attempts_on_limits(), attempts_on_registration()})
        for (const Attempt& attempt : attempts)
            tell(attempt.name, attempt.make());
    for (const RingAttempt& attempt : ring_attempts) {
        Task<std::string> task = try_on_ring(loop, attempt.opcode);
        const std::string how = co_await std::move(task);
        tell(attempt.name, how);
    }
    if (const char* const target = std::getenv("HOSTILE_DMA_TARGET")) {
        Task<void> task = try_dma(device, loop, std::strtoull(target, nullptr, 0), tell);
        co_await std::move(task);
    }
    tell("end of the list", "all were made");
    co_return std::make_unique<Hostile>();
}

const DriverDescription description{
    .name = "hostile",
    .devices = devices,
    .start = start,
};

}  // namespace

}  // namespace outboard::hostile

OUTBOARD_DRIVER_MODULE("hostile", outboard::hostile::devices, outboard::hostile::description);
