#include "outboard/base/error.hpp"
#include "outboard/cli/driver_options.hpp"
#include "outboard/cli/verb.hpp"
#include "outboard/host/device_host.hpp"
#include "outboard/host/serve_disks.hpp"
#include "outboard/host/stop_signals.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace outboard::cli {

namespace {

struct Words {
    std::string device;
    std::string export_name = "ublk";
    std::string disks = "0";
    std::uint16_t queues = 0;
    std::uint16_t queue_depth = 32;
    bool batch = false;
    long grace_seconds = 10;
    DriverWords driver;
};

/// The numbers in "0,2"; none for "all". Throws Error.
std::vector<unsigned> parse_disks(const std::string& text) {
    std::vector<unsigned> disks;
    if (text == "all")
        return disks;
    const char* at = text.data();
    const char* const end = text.data() + text.size();
    for (bool more = true; more;) {
        unsigned disk = 0;
        const auto [next, error] = std::from_chars(at, end, disk);
        more = error == std::errc() && next != end && *next == ',';
        if (error != std::errc() || (next != end && !more) || std::ranges::find(disks, disk) != disks.end())
            throw Error({.kind = ErrorKind::usage,
                         .action = "understand",
                         .subject = "--disk " + text,
                         .cause = "it is neither `all` nor a list of different numbers",
                         .remedy = "name the controller's disks from 0 on, such as --disk 0,1"});
        disks.push_back(disk);
        at = next + 1;
    }
    return disks;
}

/// One line for each disk once it can be used, so that scripts can wait for it.
void announce(const DiskService& service, bool json) {
    const BlockInfo& info = *service.info;
    std::string line;
    if (json) {
        const nlohmann::json document = {{"disk", service.path},
                                         {"bytes", info.capacity},
                                         {"model", info.model},
                                         {"serial", info.serial},
                                         {"number", service.number},
                                         {"queues", service.queues},
                                         {"queue_depth", service.queue_depth},
                                         {"batched", service.batched},
                                         {"write_cache", info.volatile_write_cache},
                                         {"taken_over", service.taken_over},
                                         {"pid", ::getpid()}};
        line = document.dump() + "\n";
    } else {
        line = fmt::format("{}  {}{}\n", service.path, describe_disk(info),
                           service.taken_over ? "  (taken over from an earlier process)" : "");
    }
    if (std::fputs(line.c_str(), stdout) < 0 || std::fflush(stdout) != 0)
        throw_errno(errno, "write to", "standard output");
}

void run(const Words& words, Invocation& invocation) {
    ServeOptions options;
    options.device = DeviceName::parse(words.device);
    options.disks = parse_disks(words.disks);
    options.queues = words.queues;
    options.queue_depth = words.queue_depth;
    options.batch = words.batch;
    options.grace = std::chrono::seconds(words.grace_seconds);
    options.driver = driver_options(words.driver);
    options.ready = [&invocation](const DiskService& service) { announce(service, invocation.json); };

    // Whoever reads what it prints may go away before it ends (`outboard run … | head -n 1`, Ctrl-C on a
    // pipeline): that must not end it before the disk is drained.
    std::signal(SIGPIPE, SIG_IGN);
    StopSignals signals;
    RunLoop loop;
    try {
        loop.run(serve_disks(loop, signals, options));
    } catch (const Cancelled&) {
        throw Error({.kind = ErrorKind::failed,
                     .action = "serve",
                     .subject = words.device,
                     .cause = "a signal came before it was ready",
                     .remedy = {}});
    }
}

}  // namespace

void add_run_verb(CLI::App& app, Invocation& invocation) {
    const auto words = std::make_shared<Words>();
    CLI::App* const verb =
        app.add_subcommand("run", "Drive a device and offer it to the system: a disk as /dev/ublkbN");
    verb->add_option("device", words->device, device_help)->required();
    verb->add_option("--export", words->export_name, "How the system sees it")
        ->check(CLI::IsMember({"ublk"}))
        ->capture_default_str();
    verb->add_option("--disk", words->disks, "Which of the controller's disks, from 0: 1, or 0,1, or all")
        ->capture_default_str();
    verb->add_option(
            "--queues", words->queues,
            "Queues of each disk, with a thread each (default: one for each processor, as far as the "
            "disk has them)")
        ->check(CLI::Range(1, 4096));
    verb->add_option("--queue-depth", words->queue_depth,
                     "Requests that the kernel may send at once on each queue")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    verb->add_flag(
        "--batch", words->batch,
        "Requests and results many at a time, where the kernel can (7.0 and newer): for users who send "
        "many at a time");
    verb->add_option("--grace", words->grace_seconds,
                     "At the end: seconds that users of the disk may take to let it go")
        ->check(CLI::Range(0, 86400))
        ->capture_default_str();
    add_driver_options(*verb, words->driver);
    add_json_flag(*verb, invocation);
    verb->footer(
        "Prints one line for each disk once all can be used, and runs until SIGINT, SIGTERM or SIGHUP. It "
        "then waits "
        "for file "
        "systems on\n"
        "the disk to be unmounted (--grace, or a second signal), writes what the page cache holds, takes the "
        "disk away\n"
        "and gives the device back to its old driver. When the process is killed instead, the disk stays and "
        "its I/O\n"
        "waits: the next `outboard run` of the same device goes on with it, `outboard stop` removes it.");
    verb->callback([words, &invocation] { run(*words, invocation); });
}

}  // namespace outboard::cli
