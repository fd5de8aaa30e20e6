#include "outboard/backend/device_name.hpp"
#include "outboard/base/error.hpp"
#include "outboard/cli/progress.hpp"
#include "outboard/cli/table.hpp"
#include "outboard/cli/verb.hpp"
#include "outboard/host/campaign_workers.hpp"
#include "outboard/sim/model_table.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace outboard::cli {

namespace {

struct Words {
    std::string device;
    std::uint64_t count = 1000;
    std::uint64_t seed = 1;
    std::vector<std::string> kinds;
    unsigned jobs = 2;
    bool destroy_data = false;
    unsigned command_timeout_ms = 20;
};

/// A directory for the sockets of the workers, gone at the end.
class SocketDirectory {
  public:
    SocketDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "outboard-faults-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw_errno(errno, "make", name, "point TMPDIR at a directory that can be written to");
        path_ = name;
    }
    SocketDirectory(const SocketDirectory&) = delete;
    SocketDirectory& operator=(const SocketDirectory&) = delete;
    SocketDirectory(SocketDirectory&&) = delete;
    SocketDirectory& operator=(SocketDirectory&&) = delete;
    ~SocketDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::filesystem::path path() const { return path_ / "device"; }

  private:
    std::filesystem::path path_;
};

const sim::ModelDescription& find_model(std::string_view name) {
    std::string known;
    for (const sim::ModelDescription* const model : sim::built_in_models()) {
        const bool has_disks = std::ranges::any_of(
            model->options, [](const sim::OptionDescription& option) { return option.name == "size"; });
        if (!has_disks || model->faults.empty())
            continue;
        if (model->name == name)
            return *model;
        known += fmt::format("{}, ", model->name);
    }
    throw Error({.kind = ErrorKind::usage,
                 .action = "run a fault campaign on",
                 .subject = std::string(name),
                 .cause = "faults can be brought about in simulated disks only",
                 .remedy = fmt::format("choose one of {}vfio-user:PATH", known)});
}

std::vector<sim::FaultKind> find_kinds(const std::vector<std::string>& names) {
    std::vector<sim::FaultKind> kinds;
    kinds.reserve(names.size());
    for (const std::string& name : names)
        kinds.push_back(sim::parse_fault_rule(name).kind);
    return kinds;
}

/// A device that another process serves, perhaps with content that somebody wants.
std::filesystem::path find_socket(const Words& words) {
    const DeviceName device = DeviceName::parse(words.device);
    if (!words.destroy_data)
        throw Error({.kind = ErrorKind::usage,
                     .action = "run a fault campaign on",
                     .subject = words.device,
                     .cause = "it would overwrite what is on the disk",
                     .remedy = "add --destroy-data if that is what you want"});
    return device.socket();
}

double milliseconds(std::uint64_t nanoseconds) {
    return static_cast<double>(nanoseconds) / 1e6;
}

nlohmann::json to_json(const CampaignReport& report, const Words& words) {
    nlohmann::json classes = nlohmann::json::object();
    for (std::size_t i = 0; i < report.kinds.size(); ++i) {
        const KindCounts& kind = report.kinds[i];
        if (kind.injected != 0)
            classes[std::string(sim::name_of(static_cast<sim::FaultKind>(i)))] = {
                {"injected", kind.injected},
                {"recovered", kind.recovered},
                {"failed_to_caller", kind.failed_to_caller},
                {"corrupted", kind.corrupted},
                {"resets", kind.resets},
                {"reopened", kind.reopened}};
    }
    return {{"device", words.device},
            {"seed", words.seed},
            {"faults", report.faults},
            {"classes", classes},
            {"mismatches", report.mismatches},
            {"hangs", report.hangs},
            {"crashes", report.crashes},
            {"recovery_ms",
             {{"p50", milliseconds(report.recovery.percentile(0.5))},
              {"p99", milliseconds(report.recovery.percentile(0.99))},
              {"max", milliseconds(report.recovery.percentile(1.0))}}},
            {"memory_kib", {{"first", report.memory_first_kib}, {"last", report.memory_last_kib}}}};
}

void print(const CampaignReport& report) {
    Table table({"FAULT", "INJECTED", "RECOVERED", "FAILED TO CALLER", "CORRUPTED", "RESETS", "REOPENED"});
    for (std::size_t i = 0; i < report.kinds.size(); ++i) {
        const KindCounts& kind = report.kinds[i];
        if (kind.injected != 0)
            table.add({std::string(sim::name_of(static_cast<sim::FaultKind>(i))),
                       std::to_string(kind.injected), std::to_string(kind.recovered),
                       std::to_string(kind.failed_to_caller), std::to_string(kind.corrupted),
                       std::to_string(kind.resets), std::to_string(kind.reopened)});
    }
    print_text(table.text() +
               fmt::format("{} faults: {} mismatches, {} hangs, {} crashes\n"
                           "recovery with a reset: p50 {:.1f} ms, p99 {:.1f} ms, at most {:.1f} ms\n"
                           "memory of the largest process: {} KiB, then {} KiB\n",
                           report.faults, report.mismatches, report.hangs, report.crashes,
                           milliseconds(report.recovery.percentile(0.5)),
                           milliseconds(report.recovery.percentile(0.99)),
                           milliseconds(report.recovery.percentile(1.0)), report.memory_first_kib,
                           report.memory_last_kib));
}

void run(const Words& words, Invocation& invocation) {
    const SocketDirectory directory;
    CampaignOptions options;
    const bool served = words.device.starts_with(DeviceName::vfio_user_prefix);
    options.model = served ? nullptr : &find_model(words.device);
    options.kinds = find_kinds(words.kinds);
    options.count = words.count;
    options.seed = words.seed;
    options.socket = served ? find_socket(words) : directory.path();
    options.command_timeout = std::chrono::milliseconds(words.command_timeout_ms);
    std::unique_ptr<CampaignReport> report;
    {
        const ProgressBar bar;
        report =
            run_campaign_workers(options, served ? 1 : words.jobs, [&bar](double part) { bar.show(part); });
    }
    if (invocation.json)
        print_json(to_json(*report, words));
    else
        print(*report);
    if (report->mismatches != 0 || report->hangs != 0 || report->crashes != 0)
        invocation.exit_status = static_cast<int>(ErrorKind::failed);
}

}  // namespace

void add_faults_verb(CLI::App& app, Invocation& invocation) {
    const auto words = std::make_shared<Words>();
    CLI::App* const verb = app.add_subcommand(
        "faults", "Let a simulated device go wrong under its driver, and count what comes of it");
    verb->add_option("--device", words->device,
                     "ide, nvme, ahci, virtio-blk, or vfio-user:PATH that outboard sim serves")
        ->required();
    verb->add_option("--count", words->count, "Faults to bring about")
        ->check(CLI::Range(1, 1000000000))
        ->capture_default_str();
    verb->add_option("--seed", words->seed, "The same seed gives the same faults")->capture_default_str();
    verb->add_option("--kind", words->kinds, "Only this kind of fault; may be repeated");
    verb->add_option("--jobs", words->jobs, "Devices and drivers at work side by side")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    verb->add_option("--command-timeout", words->command_timeout_ms, "Deadline of a command in milliseconds")
        ->check(CLI::Range(1, 60000))
        ->capture_default_str();
    verb->add_flag("--destroy-data", words->destroy_data,
                   "Needed for vfio-user:PATH, whose disk is overwritten");
    add_json_flag(*verb, invocation);
    verb->footer(
        "Each fault strikes a driver at work on a disk whose every sector is checked. Exit status 1: wrong "
        "data, a\n"
        "request that did not end, or a crash. Wrong data that a fault delivers with good status "
        "(dma-short,\n"
        "data-torn, …) no driver can know of: the check finds it, and it is counted as corrupted.");
    verb->callback([words, &invocation] { run(*words, invocation); });
}

}  // namespace outboard::cli
