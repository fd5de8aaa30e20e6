#include "outboard/lab/lab.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/lab/apt_archive.hpp"
#include "outboard/lab/channel.hpp"
#include "outboard/lab/layout.hpp"
#include "outboard/lab/machine.hpp"
#include "outboard/lab/process.hpp"
#include "outboard/lab/qemu.hpp"
#include "outboard/lab/run_directory.hpp"
#include "outboard/lab/runner.hpp"
#include "outboard/lab/tools.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

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

// "SRC[:DEST]", where DEST is absolute or missing.
std::pair<std::string, std::string> source_and_target(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos)
        return {text, {}};
    return {text.substr(0, colon), text.substr(colon + 1)};
}

std::vector<std::string> command_words(const LabOptions& options) {
    if (!options.script.empty()) {
        std::vector<std::string> words{"/tmp/" + fs::path(options.script).filename().string()};
        words.insert(words.end(), options.command.begin(), options.command.end());
        return words;
    }
    if (options.command.empty())
        return {"/bin/sh", "-i"};
    if (options.command.size() == 1)
        return {"/bin/sh", "-c", options.command.front()};
    return options.command;
}

// The part of the initramfs that is made for this run only.
FileSet run_files(const LabOptions& options, const Devices& devices, bool terminal) {
    FileSet files;
    for (const std::string& file : options.files) {
        auto [source, target] = source_and_target(file);
        if (target.empty())
            target = "/tmp/" + fs::path(source).filename().string();
        files.add_tree(target, source);
    }
    for (const std::string& program : options.programs) {
        const fs::path found = find_program(program);
        files.add_program("/usr/bin/" + fs::path(program).filename().string(),
                          found.empty() ? fs::path(program) : found);
    }
    if (!options.script.empty())
        files.add_text("/tmp/" + fs::path(options.script).filename().string(),
                       read_text(options.script) + "\n", 0755);
    std::string placed;
    for (const auto& [name, address] : devices.addresses)
        placed += fmt::format("{}{}={}", placed.empty() ? "" : " ", name, address);
    nlohmann::json environment{{"OUTBOARD_LAB_DEVICES", placed}};
    if (const char* term = std::getenv("TERM"); terminal && term != nullptr)
        environment["TERM"] = term;
    std::vector<std::string> modules{"vfio_pci", "vfio_iommu_type1", "ublk_drv"};
    modules.insert(modules.end(), options.modules.extra.begin(), options.modules.extra.end());
    std::vector<std::string> get;
    for (const std::string& file : options.get)
        get.push_back(source_and_target(file).first);
    const std::string debug = !options.gdb_attach.empty() ? options.gdb_attach
                              : options.gdb_port          ? "start"
                                                          : "";
    files.add_text(request_path, nlohmann::json{{"argv", command_words(options)},
                                                {"environment", environment},
                                                {"modules", modules},
                                                {"get", get},
                                                {"unprivileged", options.unprivileged},
                                                {"terminal", terminal},
                                                {"debug", debug}}
                                     .dump());
    return files;
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

// Unpacks the file that came back as a tar archive to where the option says, or into the working directory.
std::string unpack_file(const LabOptions& options, const std::string& guest_path, const std::string& archive,
                        const fs::path& scratch) {
    fs::path target;
    for (const std::string& file : options.get)
        if (const auto [path, wanted] = source_and_target(file); path == guest_path)
            target = wanted;
    if (target.empty())
        target = fs::path(guest_path).filename();
    if (fs::is_directory(target))
        target /= fs::path(guest_path).filename();
    const fs::path tar = scratch / "get.tar";
    std::ofstream(tar, std::ios::binary) << archive;
    const fs::path unpacked = scratch / "get";
    fs::create_directories(unpacked);
    run_command({.argv = {"tar", "--extract", "--no-same-owner", "--file", tar.string(), "--directory",
                          unpacked.string()},
                 .environment = {},
                 .directory = {}},
                "unpack", guest_path);
    fs::copy(
        unpacked / fs::path(guest_path).relative_path(), target,
        fs::copy_options::recursive | fs::copy_options::overwrite_existing | fs::copy_options::copy_symlinks);
    fs::remove_all(unpacked);
    fs::remove(tar);
    return target.string();
}

}  // namespace

void prepare_lab(const LabOptions& options) {
    const fs::path directory = lab_directory(options.cache);
    for (const std::string& wish : options.kernels) {
        const Parts parts = prepare(directory, options, wish);
        progress(fmt::format("ready: kernel {}, {}", parts.kernel.release, parts.qemu.argv.front()));
    }
}

LabResult run_lab(const LabOptions& options) {
    const Clock::time_point start = Clock::now();
    const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    const fs::path directory = lab_directory(options.cache);
    const Devices devices = lay_out(options.devices);
    const Parts parts = prepare(directory, options, options.kernels.front());
    const bool terminal = options.command.empty() && options.script.empty() && ::isatty(STDIN_FILENO) == 1;

    RunDirectory run(directory, devices.disks, options.keep);
    make_disks(devices.disks, run.scratch());
    run_files(options, devices, terminal).write_cpio(run.scratch() / "run.cpio");
    std::vector<fs::path> archives = parts.archives;
    archives.push_back(run.scratch() / "run.cpio");
    concatenate(archives, run.scratch() / "initramfs");

    auto [host_end, guest_end] = make_channel();
    const Machine machine{.qemu = parts.qemu.argv,
                          .accelerator = Accelerator::tcg,
                          .deterministic = options.deterministic,
                          .iommu = options.iommu,
                          .processors = options.processors,
                          .memory = options.memory,
                          .kernel = parts.kernel.image,
                          .initramfs = run.scratch() / "initramfs",
                          .append = options.append,
                          .run = run.logs(),
                          .scratch = run.scratch(),
                          .port = guest_end.get(),
                          .gdb_port = options.gdb_port,
                          .devices = devices,
                          .arguments = options.qemu_arguments};
    LabResult result{.kernel = parts.kernel.release,
                     .qemu = parts.qemu.argv.front(),
                     .accelerator = "tcg",
                     .output = {},
                     .error_output = {},
                     .files = {},
                     .console = run.logs() / "console.log"};
    RunPlan plan{.qemu = qemu_arguments(machine),
                 .environment = parts.qemu.environment,
                 .port = guest_end.release(),
                 .host_end = host_end.get(),
                 .console = result.console,
                 .qemu_log = run.logs() / "qemu.log",
                 .deadline = options.deadline,
                 .terminal = terminal,
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
    const double prepared = seconds();
    const RunOutcome outcome = run_machine(plan);
    result.exit_status = outcome.exit_status;
    result.deadline_came = outcome.deadline_came;
    result.boot_seconds = prepared + outcome.boot_seconds;
    result.seconds = seconds();
    if (options.verbose)
        progress(fmt::format("the console:\n{}", log_tail(result.console, 1000)));
    if (options.verbose)
        progress(fmt::format("{:.2f} s to the machine's start, {:.2f} s to the command, {:.2f} s in all",
                             prepared, result.boot_seconds, result.seconds));
    return result;
}

}  // namespace outboard::lab
