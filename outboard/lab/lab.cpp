#include "outboard/lab/lab.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/lab/apt_archive.hpp"
#include "outboard/lab/guest_files.hpp"
#include "outboard/lab/layout.hpp"
#include "outboard/lab/machine.hpp"
#include "outboard/lab/qemu.hpp"
#include "outboard/lab/run_directory.hpp"
#include "outboard/lab/runner.hpp"
#include "outboard/lab/tools.hpp"

#include <array>
#include <cerrno>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Parts {
    Kernel kernel;
    std::vector<fs::path> archives;  // of the initramfs, in order
    Qemu qemu;
};

Parts prepare(const fs::path& directory, const LabOptions& options, const std::string& wish) {
    Parts parts;
    const PartsLock lock(directory);
    AptArchive archive(directory / "apt");
    parts.qemu = find_qemu(archive, options.qemu, options.devices);
    parts.kernel = prepare_kernel(directory, archive, wish);
    const bool debugger = options.gdb_port.has_value();
    const Tools tools = find_tools(directory, archive, debugger);
    const fs::path kept = directory / "initramfs";
    parts.archives.push_back(kept_archive(system_files(parts.kernel, tools, options.modules), kept));
    const fs::path programs = program_directory();
    parts.archives.push_back(
        kept_archive(project_files(programs, directory / "programs" / digest(programs.string())), kept));
    return parts;
}

void concatenate(const std::vector<fs::path>& parts, const fs::path& target) {
    std::ofstream whole(target, std::ios::binary);
    for (const fs::path& part : parts)
        whole << std::ifstream(part, std::ios::binary).rdbuf();
    whole.close();
    if (!whole)
        throw_errno(errno, "write", target.string(), "see whether the disk is full");
}

void make_disks(const std::vector<Disk>& disks, const fs::path& scratch) {
    for (const Disk& disk : disks) {
        if (!disk.file.empty()) {
            if (!fs::exists(disk.file))
                throw_errno(ENOENT, "use the disk image", disk.file, "make it first, or leave file= out");
            continue;
        }
        const fs::path path = disk_path(disk, scratch);
        const Fd file = open_file(path, O_RDWR | O_CREAT | O_EXCL);
        if (::ftruncate(file.get(), static_cast<off_t>(disk.size)) != 0)
            throw_errno(errno, "make", path.string());
    }
}

std::pair<Fd, Fd> make_channel() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
        throw_errno(errno, "create", "a socket pair");
    return {Fd(ends[0]), Fd(ends[1])};
}

// A TCP port of 127.0.0.1 that nobody uses at the moment.
int free_port() {
    const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (!socket || ::bind(socket.get(), any, size) != 0 || ::getsockname(socket.get(), any, &size) != 0)
        throw_errno(errno, "find", "a free TCP port", "give one with --gdb-port");
    return ntohs(address.sin_port);
}

// How to reach the guest's gdbserver. gdb reads symbols from our own build, which has not been stripped.
void tell_about_debugger(const LabOptions& options, int port) {
    const std::string name =
        options.gdb_attach.empty() && !options.command.empty() ? options.command.front() : options.gdb_attach;
    const fs::path program = program_directory() / fs::path(name).filename();
    progress(fmt::format(
        "the debugger waits; in another terminal run\n"
        "  gdb {} -ex 'set sysroot /' -ex 'set remotetimeout 60' -ex 'target remote 127.0.0.1:{}'",
        !name.empty() && fs::exists(program) ? program.string() : "", port));
}

struct Start {
    const fs::path& directory;
    const Parts& parts;
    Accelerator accelerator;
    bool forward_input;
};

LabResult boot(const Start& start, const LabOptions& options) {
    const Clock::time_point begin = Clock::now();
    const bool terminal = start.forward_input && options.command.empty() && options.script.empty() &&
                          ::isatty(STDIN_FILENO) == 1;
    const Devices devices = lay_out(options.devices);
    const RunDirectory run(start.directory, devices.disks, options.keep);
    make_disks(devices.disks, run.scratch());
    run_files(options, devices, terminal).write_cpio(run.scratch() / "run.cpio");
    std::vector<fs::path> archives = start.parts.archives;
    archives.push_back(run.scratch() / "run.cpio");
    concatenate(archives, run.scratch() / "initramfs");

    auto [host_end, guest_end] = make_channel();
    const Machine machine{.qemu = start.parts.qemu.argv,
                          .accelerator = start.accelerator,
                          .deterministic = options.deterministic,
                          .iommu = options.iommu,
                          .processors = options.processors,
                          .memory = options.memory,
                          .kernel = start.parts.kernel.image,
                          .initramfs = run.scratch() / "initramfs",
                          .append = options.append,
                          .run = run.logs(),
                          .scratch = run.scratch(),
                          .port = guest_end.get(),
                          .gdb_port = options.gdb_port,
                          .devices = devices,
                          .arguments = options.qemu_arguments};
    LabResult result{.kernel = start.parts.kernel.release,
                     .qemu = start.parts.qemu.program,
                     .accelerator = start.accelerator == Accelerator::kvm ? "kvm" : "tcg",
                     .output = {},
                     .error_output = {},
                     .files = {},
                     .console = run.logs() / "console.log"};
    RunPlan plan{.qemu = qemu_arguments(machine),
                 .environment = start.parts.qemu.environment,
                 .in_step = options.deterministic,
                 .port = guest_end.release(),
                 .host_end = host_end.get(),
                 .console = result.console,
                 .qemu_log = run.logs() / "qemu.log",
                 .deadline = options.deadline,
                 .terminal = terminal,
                 .forward_input = start.forward_input,
                 .output = {},
                 .file = {}};
    if (options.verbose)
        progress(fmt::format("{}", fmt::join(plan.qemu, " ")));
    if (options.capture)
        plan.output = [&](bool error_output, std::string_view bytes) {
            (error_output ? result.error_output : result.output) += bytes;
        };
    plan.file = [&](const std::string& path, const std::optional<std::string>& archive) {
        if (archive)
            result.files.push_back(unpack_file(options, path, *archive, run.scratch()));
        else
            progress(fmt::format("the guest has no {}", path));
    };
    const double prepared = seconds_since(begin);
    const RunOutcome outcome = run_machine(plan);
    result.exit_status = outcome.exit_status;
    result.deadline_came = outcome.deadline_came;
    result.boot_seconds = prepared + outcome.boot_seconds;
    result.seconds = seconds_since(begin);
    if (options.verbose)
        progress(fmt::format("the console:\n{}", log_tail(result.console, 1000)));
    return result;
}

// Emulated processors that run side by side see code that another one is changing later than real ones do,
// and a kernel changes its own code while it boots: about one boot in a hundred crashes. What is to be run
// has not begun then.
LabResult boot_in_spite_of_crashes(const Start& start, const LabOptions& options) {
    constexpr int attempts = 3;
    for (int attempt = 1;; ++attempt) {
        try {
            return boot(start, options);
        } catch (const BootFailure& failure) {
            if (attempt == attempts || start.accelerator != Accelerator::tcg)
                throw;
            progress(fmt::format("the guest did not come up (attempt {} of {}): {}", attempt, attempts,
                                 failure.parts().cause));
        }
    }
}

// Whether this machine's KVM boots this kernel: it is tried, because where machines are themselves virtual
// the device may be there and not work. The answer holds until the machine boots again.
Accelerator choose_accelerator(const fs::path& directory, const Parts& parts, const LabOptions& options) {
    if (options.accelerator == "kvm")
        return Accelerator::kvm;
    if (options.accelerator == "tcg" || options.deterministic || ::access("/dev/kvm", R_OK | W_OK) != 0)
        return Accelerator::tcg;
    const std::string machine_boot = read_text("/proc/sys/kernel/random/boot_id");
    const fs::path verdict =
        directory / "kvm" / digest(machine_boot + parts.qemu.program + parts.kernel.release);
    if (const auto known = try_read_text(verdict))
        return *known == "works" ? Accelerator::kvm : Accelerator::tcg;
    progress("trying whether KVM works here (once)");
    bool works = false;
    LabOptions attempt;
    attempt.command = {"true"};
    attempt.capture = true;
    attempt.deadline = std::chrono::seconds(15);
    try {
        works = boot({.directory = directory,
                      .parts = parts,
                      .accelerator = Accelerator::kvm,
                      .forward_input = false},
                     attempt)
                    .exit_status == 0;
    } catch (const Error& error) {
        progress(fmt::format("KVM does not work here: {}", error.parts().cause));
    }
    progress(works ? "KVM works" : "KVM does not boot a kernel here: using software emulation");
    fs::create_directories(verdict.parent_path());
    std::ofstream(verdict) << (works ? "works" : "does not work");
    return works ? Accelerator::kvm : Accelerator::tcg;
}

}  // namespace

void prepare_lab(const LabOptions& options) {
    const fs::path directory = lab_directory(options.cache);
    for (const std::string& wish : options.kernels) {
        const Parts parts = prepare(directory, options, wish);
        progress(fmt::format("ready: kernel {}, {}", parts.kernel.release, parts.qemu.program));
    }
}

LabResult run_lab(const LabOptions& options) {
    const Clock::time_point begin = Clock::now();
    const fs::path directory = lab_directory(options.cache);
    lay_out(options.devices);  // what is wrong with the words is said before anything is fetched
    const Parts parts = prepare(directory, options, options.kernels.front());
    const Accelerator accelerator = choose_accelerator(directory, parts, options);
    LabOptions final_options = options;
    if (options.gdb_port) {
        final_options.gdb_port = *options.gdb_port == 0 ? free_port() : *options.gdb_port;
        tell_about_debugger(options, *final_options.gdb_port);
    }
    const double prepared = seconds_since(begin);
    LabResult result = boot_in_spite_of_crashes(
        {.directory = directory, .parts = parts, .accelerator = accelerator, .forward_input = true},
        final_options);
    result.boot_seconds += prepared;
    result.seconds += prepared;
    if (options.verbose)
        progress(
            fmt::format("{:.2f} s to the command, {:.2f} s in all", result.boot_seconds, result.seconds));
    return result;
}

}  // namespace outboard::lab
