#include "outboard/cli/verb.hpp"
#include "outboard/host/stop_signals.hpp"
#include "outboard/sim/fault_plan.hpp"
#include "outboard/sim/model_table.hpp"
#include "outboard/sim/server.hpp"

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace outboard::cli {

namespace {

/// What was said about one model.
struct Words {
    const sim::ModelDescription* model = nullptr;
    std::string socket;
    bool quiet = false;
    bool no_shared_memory = false;
    std::string plan_file;
    std::vector<std::string> faults;
    std::optional<std::uint64_t> fault_seed;
    std::vector<std::string> values;  ///< of the model's options, in their order
};

/// One line once clients can connect, so that scripts can wait for it.
void announce(const Words& words, const sim::PciModel& model, const sim::Server& server, bool json) {
    const std::string device = "vfio-user:" + server.path().string();
    const std::string pci_id =
        fmt::format("{:04x}:{:04x}", model.description().vendor, model.description().device);
    if (json) {
        const nlohmann::json document = {{"model", words.model->name},
                                         {"device", device},
                                         {"socket", server.path().string()},
                                         {"pci_id", pci_id},
                                         {"pid", ::getpid()}};
        print_text(document.dump() + "\n");
    } else {
        print_text(fmt::format("{}  {} ({})\n", device, words.model->name, pci_id));
    }
}

sim::FaultPlan fault_plan(const Words& words) {
    sim::FaultPlan plan;
    if (!words.plan_file.empty())
        plan = sim::read_fault_plan(words.plan_file);
    for (const std::string& fault : words.faults)
        plan.rules.push_back(sim::parse_fault_rule(fault));
    plan.seed = words.fault_seed.value_or(plan.seed);
    sim::require_possible(plan, *words.model);
    return plan;
}

void run(const Words& words, const Invocation& invocation) {
    sim::ModelOptions options(words.model->options);
    for (std::size_t i = 0; i < words.values.size(); ++i)
        options.set(words.model->options[i].name, words.values[i]);

    // Whoever reads what it prints may go away: that must not end it.
    std::signal(SIGPIPE, SIG_IGN);
    StopSignals signals;
    const std::unique_ptr<sim::PciModel> model = words.model->make(options);
    model->faults().follow(fault_plan(words));
    model->fault_port().offer(words.model->faults);
    sim::ServerOptions server_options{.socket = words.socket, .log = {}};
    server_options.share_memory = !words.no_shared_memory;
    if (!words.quiet)
        server_options.log = [](std::string_view line) {
            static_cast<void>(
                std::fprintf(stderr, "outboard sim: %.*s\n", static_cast<int>(line.size()), line.data()));
        };
    sim::ServerThread server(*model, std::move(server_options));
    announce(words, *model, server.server(), invocation.json);
    signals.wait();
    server.stop();
}

void add_model(CLI::App& verb, Invocation& invocation, const sim::ModelDescription& model) {
    const auto words = std::make_shared<Words>();
    words->model = &model;
    words->values.assign(model.options.size(), {});
    CLI::App* const command = verb.add_subcommand(std::string(model.name), std::string(model.summary));
    command->add_option("--socket", words->socket, "Path of the UNIX socket to serve it on")->required();
    command->add_flag("--quiet", words->quiet,
                      "Do not report clients, DMA faults and faults of the plan on standard error");
    command->add_flag("--no-shared-memory", words->no_shared_memory,
                      "Let clients map nothing, doorbells included: every access is a message");
    command->add_option(
        "--fault", words->faults,
        "A fault of the device: KIND[,after=N][,one_in=N][,count=N][,delay_us=N]; may be repeated");
    command->add_option("--fault-plan", words->plan_file, "File of faults (TOML)");
    command->add_option("--fault-seed", words->fault_seed, "Seed of the faults, in place of the plan's");
    for (std::size_t i = 0; i < model.options.size(); ++i) {
        words->values[i] = model.options[i].value;
        command
            ->add_option("--" + std::string(model.options[i].name), words->values[i],
                         std::string(model.options[i].help))
            ->capture_default_str();
    }
    add_json_flag(*command, invocation);
    command->callback([words, &invocation] { run(*words, invocation); });
}

}  // namespace

void add_sim_verb(CLI::App& app, Invocation& invocation) {
    CLI::App* const verb =
        app.add_subcommand("sim", "Simulate a device: drivers open it as vfio-user:PATH, without root");
    verb->require_subcommand(1);
    for (const sim::ModelDescription* const model : sim::built_in_models())
        add_model(*verb, invocation, *model);
    verb->footer(
        "Prints one line once the device can be opened and serves one client after the other until SIGINT,\n"
        "SIGTERM or SIGHUP. Between clients the device keeps its state.");
}

}  // namespace outboard::cli
