// What a host process gives up before the code of a driver runs in it. What this protects from, and from what
// it cannot: docs/security.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace outboard {

/// What the process may take beyond what it has when it enters.
struct SandboxLimits {
    /// Bytes of memory of its own (RLIMIT_DATA): heap and stacks.
    std::uint64_t memory = std::uint64_t{64} << 20;
    /// Bytes of device regions, request descriptors and the like that it will map (RLIMIT_AS, together with
    /// `memory` and room for the reservations of libc, which hold no memory).
    std::uint64_t mappings = std::uint64_t{256} << 20;
    unsigned descriptors =
        256;  ///< RLIMIT_NOFILE: eventfds of interrupts and queues, and what a socket brings
    /// RLIMIT_NPROC: tasks of the user in all. It counts every process of the user, so it is for a user that
    /// has this process only. Nothing: as it is.
    std::optional<unsigned> tasks{};
    /// RLIMIT_MEMLOCK: bytes locked in all, those before included. Nothing: as it is; or all of the addresses
    /// where memory is locked already, for a process that locks what it will map (mlockall) counts them all.
    std::optional<std::uint64_t> locked_memory{};
};

/// What becomes of a call that is not allowed. The kernel logs it either way (audit type 1326).
enum class RefusedCall : std::uint8_t {
    fails,  ///< with EPERM
    kills,  ///< the process, by SIGSYS
};

/// A user of its own for the process.
struct SandboxUser {
    uid_t user = 0;
    gid_t group = 0;
};

struct SandboxRules {
    /// Who the process is from then on, without further groups. Needed when it is root; without it the
    /// process stays who it is.
    std::optional<SandboxUser> user{};
    SandboxLimits limits;
    RefusedCall refused_call = RefusedCall::fails;
    /// Connected UNIX sockets (stream or seqpacket): the only descriptors with which sendmsg, recvmsg, send
    /// and recv work. Any descriptor can be read and written.
    std::vector<int> sockets;
    /// One of `sockets` whose place a socket that comes later may take (dup3): the connection to a device
    /// that is not known yet. -1: none.
    int replaceable_socket = -1;
    /// A VFIO container with which memory may be mapped and unmapped for DMA still; -1: none.
    int container = -1;
    /// Cores are written (by the handler of kernel.core_pattern), and processes of the same user may trace
    /// this one. False: neither.
    bool core_dumps = true;
    /// The driver's file, open for reading at any position, and the path by which load() opens it. -1: none.
    int driver_file = -1;
    std::string driver_path;
};

/// What is in force.
struct SandboxReport {
    int landlock = 0;                 ///< version of the kernel's interface; 0: it has none
    bool no_files = false;            ///< a mount namespace with an empty root
    bool no_network = false;          ///< a network namespace without interfaces
    std::vector<std::string> absent;  ///< what this kernel, or these rights, do not give: a sentence each
};

/// Gives up for good: user and groups, all capabilities, the way to new rights (no_new_privs), files, network
/// and the IPC of others, every system call but those of a run loop, of threads and of VFIO, and memory
/// without an end. Nothing that is open is closed.
///
/// To be called once, by the only thread of the process, when it has what it needs:
///  - descriptors: device, arena, socket to the supervisor, log. What is created later (the ublk character
///    device) can come over one of `sockets`;
///  - rings: all run loops take theirs from a RingStock made before (RunLoopOptions::stock), the main loop
///    too. A ring without restrictions is a hole in the sandbox;
///  - memory that is locked, and anything that takes a path: the arena, /proc, the time zone;
///  - what is inherited from the supervisor and would bring more: a descriptor of a directory, of
///    /dev/ublk-control, of a VFIO group.
/// A parent-death signal (PR_SET_PDEATHSIG) is lost with the change of the user: set it again afterwards.
///
/// `load` runs inside, at the only time at which code can still be mapped: it is to dlopen(driver_path),
/// which is given `driver_file` and opens no path; constructors of the driver run in the sandbox already.
///
/// Throws Error when something of it cannot be had that must be; the process is to end then. What is only
/// better to have (Landlock, namespaces) is probed, and its absence reported. Throws what `load` throws.
SandboxReport enter_sandbox(const SandboxRules& rules, const std::function<void()>& load = {});

}  // namespace outboard
