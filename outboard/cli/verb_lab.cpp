#include "outboard/cli/verb.hpp"
#include "outboard/lab/devices.hpp"
#include "outboard/lab/lab.hpp"
#include "outboard/lab/runner.hpp"

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace outboard::cli {

namespace {

struct Words {
    lab::LabOptions options;
    bool fetch_only = false;
    bool no_iommu = false;
    long timeout_seconds = 0;
};

void run(const Words& words, Invocation& invocation) {
    lab::LabOptions options = words.options;
    options.iommu = !words.no_iommu;
    options.capture = invocation.json;
    if (options.kernels.empty())
        options.kernels.emplace_back("6.12");
    // A shell has a deadline too, but one that does not end a day's work.
    const bool shell = options.command.empty() && options.script.empty();
    const std::chrono::seconds usual = shell ? std::chrono::hours(12) : std::chrono::minutes(10);
    options.deadline = words.timeout_seconds > 0 ? std::chrono::seconds(words.timeout_seconds) : usual;
    if (words.fetch_only) {
        lab::prepare_lab(options);
        return;
    }
    const lab::LabResult result = lab::run_lab(options);
    invocation.exit_status = result.exit_status;
    if (invocation.json)
        print_json({{"exit_status", result.exit_status},
                    {"deadline_came", result.deadline_came},
                    {"kernel", result.kernel},
                    {"qemu", result.qemu},
                    {"accelerator", result.accelerator},
                    {"boot_seconds", result.boot_seconds},
                    {"seconds", result.seconds},
                    {"stdout", result.output},
                    {"stderr", result.error_output},
                    {"files", result.files},
                    {"console", result.console.string()}});
    if (result.deadline_came)
        std::fprintf(
            stderr,
            "outboard: the lab's deadline of %ld s came before the command's end; the console's end:\n%s\n",
            static_cast<long>(options.deadline.count()), lab::log_tail(result.console, 15).c_str());
}

}  // namespace

void add_lab_verb(CLI::App& app, Invocation& invocation) {
    auto words = std::make_shared<Words>();
    lab::LabOptions& options = words->options;
    CLI::App* verb =
        app.add_subcommand("lab", "Run a command, or a shell, in a QEMU machine for driver work");
    verb->add_option("command", options.command,
                     "Words of a command; one word is a line for sh; none gives a shell")
        ->option_text("-- COMMAND…");
    verb->add_option("--kernel", options.kernels, "6.1, 6.12, 7.3, newest, or a whole release (default 6.12)")
        ->option_text("VERSION")
        ->expected(1)
        ->take_all();
    verb->add_option("--device", options.devices, "Add a device; see below")
        ->option_text("NAME[,key=value…]")
        ->expected(1)
        ->take_all();
    verb->add_option("--qemu", options.qemu, "auto, or the path of a program")->option_text("WHICH");
    verb->add_option("--accel", options.accelerator, "auto, kvm or tcg");
    verb->add_option("--qemu-arg", options.qemu_arguments, "Give QEMU one more word")
        ->option_text("ARG")
        ->expected(1)
        ->take_all();
    verb->add_option("--append", options.append, "More kernel parameters")->option_text("WORDS");
    verb->add_option("--memory", options.memory, "Memory of the machine (default 1G)")->option_text("SIZE");
    verb->add_option("--smp", options.processors, "Processors (default 2)")->option_text("N");
    verb->add_flag("--no-iommu", words->no_iommu, "A machine without an IOMMU");
    verb->add_flag("--deterministic", options.deterministic,
                   "One processor whose time follows the instructions: figures repeat within 2 %");
    verb->add_option("--modules", options.modules.extra, "More kernel modules, loaded before the command")
        ->option_text("A,B…")
        ->delimiter(',');
    verb->add_option("--without-module", options.modules.without, "Leave kernel modules out")
        ->option_text("A,B…")
        ->delimiter(',');
    verb->add_option("--file", options.files, "Copy a file or directory in (default: into /tmp)")
        ->option_text("SRC[:DEST]")
        ->expected(1)
        ->take_all();
    verb->add_option("--get", options.get, "Copy a file or directory out when the command has ended")
        ->option_text("PATH[:DEST]")
        ->expected(1)
        ->take_all();
    verb->add_option("--program", options.programs,
                     "A program of this machine for the guest's PATH, with its libraries")
        ->option_text("NAME")
        ->expected(1)
        ->take_all();
    verb->add_option("--script", options.script, "Run this script; the command's words are its arguments")
        ->option_text("FILE");
    verb->add_option("--timeout", words->timeout_seconds,
                     "Deadline (default 600; 12 h for a shell); exit status 124")
        ->option_text("SECONDS")
        ->check(CLI::PositiveNumber);
    verb->add_flag("--user", options.unprivileged, "Run the command as an unprivileged user");
    verb->add_flag("--keep", options.keep, "Keep new disk images");
    verb->add_flag("--verbose", options.verbose, "Show QEMU's command line, the console and times");
    verb->add_option("--cache", options.cache,
                     "Directory of the parts (default: build/lab of the source tree)");
    verb->add_flag("--fetch", words->fetch_only, "Fetch and build the parts only");
    verb->footer("Devices, and where a guest finds them:\n" + lab::preset_table() +
                 "Other names, with their properties, are QEMU's own (-device).");
    add_json_flag(*verb, invocation);
    verb->callback([words, &invocation] { run(*words, invocation); });
}

}  // namespace outboard::cli
