// The program behind `outboard lab`.
#include "outboard/base/error.hpp"
#include "outboard/lab/devices.hpp"
#include "outboard/lab/lab.hpp"
#include "outboard/lab/runner.hpp"

#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace {

using outboard::Error;
using outboard::ErrorKind;
using namespace outboard::lab;

struct Words {
    LabOptions options;
    bool fetch_only = false;
    bool no_iommu = false;
    bool gdb = false;
    bool json = false;
    long timeout_seconds = 0;
};

void add_machine_options(CLI::App& app, Words& words) {
    LabOptions& options = words.options;
    app.add_option("--kernel", options.kernels, "6.1, 6.12, 7.3, newest, or a whole release (default 6.12)")
        ->option_text("VERSION")
        ->allow_extra_args(false);
    app.add_option("--device", options.devices, "Add a device; see below")
        ->option_text("NAME[,key=value…]")
        ->allow_extra_args(false);
    app.add_option("--qemu", options.qemu,
                   "auto, newer, a suite such as trixie-backports, or a program's path")
        ->option_text("WHICH");
    app.add_option("--accel", options.accelerator, "auto, kvm or tcg")
        ->option_text("WHICH")
        ->check(CLI::IsMember({"auto", "kvm", "tcg"}));
    app.add_option("--qemu-arg", options.qemu_arguments, "Give QEMU one more word")
        ->option_text("ARG")
        ->allow_extra_args(false);
    app.add_option("--append", options.append, "More kernel parameters")->option_text("WORDS");
    app.add_option("--memory", options.memory, "Memory of the machine (default 1G)")->option_text("SIZE");
    app.add_option("--smp", options.processors, "Processors (default 2)")
        ->option_text("N")
        ->check(CLI::Range(1, 64));
    app.add_flag("--no-iommu", words.no_iommu, "A machine without an IOMMU");
    app.add_flag("--deterministic", options.deterministic,
                 "One processor whose time follows the instructions: figures repeat within 2 %");
    app.add_option("--modules", options.modules.extra, "More kernel modules, loaded before the command")
        ->option_text("A,B…")
        ->delimiter(',')
        ->allow_extra_args(false);
    app.add_option("--without-module", options.modules.without, "Leave kernel modules out")
        ->option_text("A,B…")
        ->delimiter(',')
        ->allow_extra_args(false);
}

void add_command_options(CLI::App& app, Words& words) {
    LabOptions& options = words.options;
    app.add_option("--file", options.files, "Copy a file or directory in (default: into /tmp)")
        ->option_text("SRC[:DEST]")
        ->allow_extra_args(false);
    app.add_option("--get", options.get, "Copy a file or directory out when the command has ended")
        ->option_text("PATH[:DEST]")
        ->allow_extra_args(false);
    app.add_option("--program", options.programs,
                   "A program of this machine for the guest, with its libraries")
        ->option_text("NAME")
        ->allow_extra_args(false);
    app.add_option("--script", options.script, "Run this script; the command's words are its arguments")
        ->option_text("FILE");
    app.add_option("--timeout", words.timeout_seconds,
                   "Deadline (default 600; 12 hours for a shell); its exit status is 124")
        ->option_text("SECONDS")
        ->check(CLI::PositiveNumber);
    app.add_flag("--gdb", words.gdb, "Start the command under gdbserver, and say how to reach it");
    app.add_option("--gdb-attach", options.gdb_attach,
                   "Attach gdbserver to this process as soon as it is there")
        ->option_text("NAME");
    app.add_option("--gdb-port", options.gdb_port,
                   "The debugger's TCP port on 127.0.0.1 (default: a free one)")
        ->option_text("PORT")
        ->check(CLI::Range(1, 65535));
    app.add_flag("--user", options.unprivileged, "Run the command as an unprivileged user");
    app.add_flag("--keep", options.keep, "Keep new disk images");
    app.add_flag("--verbose", options.verbose, "Show QEMU's command line, the console and times");
    app.add_option("--cache", options.cache, "Directory of the parts (default: build/lab of the source tree)")
        ->option_text("DIR");
    app.add_flag("--fetch", words.fetch_only, "Fetch and build the parts only; --kernel may be repeated");
    app.add_flag("--json", words.json, "Print one JSON document with the output, the status and times");
}

void print_json(const LabResult& result) {
    const nlohmann::json document{
        {"exit_status", result.exit_status}, {"deadline_came", result.deadline_came},
        {"kernel", result.kernel},           {"qemu", result.qemu},
        {"accelerator", result.accelerator}, {"boot_seconds", result.boot_seconds},
        {"seconds", result.seconds},         {"stdout", result.output},
        {"stderr", result.error_output},     {"files", result.files},
        {"console", result.console.string()}};
    // What a command writes need not be UTF-8.
    const std::string text = document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        outboard::throw_errno(errno, "write to", "standard output");
}

int run(const Words& words) {
    LabOptions options = words.options;
    options.iommu = !words.no_iommu;
    options.capture = words.json;
    if (options.kernels.empty())
        options.kernels.emplace_back("6.12");
    if ((words.gdb || !options.gdb_attach.empty()) && !options.gdb_port)
        options.gdb_port = 0;
    // A shell has a deadline too, but one that does not end a day's work.
    const bool shell = options.command.empty() && options.script.empty();
    const std::chrono::seconds usual = shell ? std::chrono::hours(12) : std::chrono::minutes(10);
    options.deadline = words.timeout_seconds > 0 ? std::chrono::seconds(words.timeout_seconds) : usual;
    if (words.fetch_only) {
        prepare_lab(options);
        return 0;
    }
    if (options.kernels.size() > 1)
        throw Error({.kind = ErrorKind::usage,
                     .action = "boot",
                     .subject = "more than one kernel",
                     .cause = "a lab is one machine",
                     .remedy = "give --kernel once, or run the lab once for each"});
    const LabResult result = run_lab(options);
    if (words.json)
        print_json(result);
    if (result.deadline_came)
        std::fprintf(
            stderr,
            "outboard: the lab's deadline of %ld s came before the command's end; the console's end:\n%s\n",
            static_cast<long>(options.deadline.count()), log_tail(result.console, 15).c_str());
    return result.exit_status;
}

}  // namespace

int main(int argc, char** argv) {
    Words words;
    CLI::App app(
        "Run a command, or a shell, in a QEMU machine for driver work: outboard lab [OPTIONS] -- COMMAND…\n"
        "One word of a command is a line for sh, more words are a program and its arguments.",
        "outboard lab");
    app.prefix_command();
    add_machine_options(app, words);
    add_command_options(app, words);
    app.footer("Devices, and where a guest finds them:\n" + preset_table() +
               "Other names, with their properties, are QEMU's own (-device).");
    app.failure_message(CLI::FailureMessage::simple);
    try {
        app.parse(argc, argv);
        words.options.command = app.remaining();
        if (!words.options.command.empty() && words.options.command.front() == "--")
            words.options.command.erase(words.options.command.begin());
        return run(words);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : static_cast<int>(ErrorKind::usage);
    } catch (const Error& error) {
        std::fprintf(stderr, "outboard: %s\n", error.what());
        return error.exit_status();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "outboard: %s\n", error.what());
        return static_cast<int>(ErrorKind::failed);
    }
}
