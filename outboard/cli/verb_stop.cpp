#include "outboard/cli/verb.hpp"
#include "outboard/host/end_service.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/supervisor/control_client.hpp"

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
    bool force = false;
};

void run(const Words& words, const Invocation& invocation) {
    std::vector<std::string> done;
    EndOptions options;
    options.device = DeviceName::parse(words.device);
    options.force = words.force;
    if (supervises(options.device.text())) {
        const nlohmann::json status =
            ask_supervisor({.order = Order::stop, .device = options.device.text(), .force = words.force});
        if (invocation.json)
            print_json({{"device", words.device}, {"done", {"outboardd has stopped it"}}});
        else
            print_text(fmt::format("{}: {}\n", words.device, status.value("state", "")));
        return;
    }
    options.report = [&done](std::string_view line) { done.emplace_back(line); };
    RunLoop loop;
    loop.run(end_services(loop, options));
    if (invocation.json) {
        print_json({{"device", words.device}, {"done", done}});
        return;
    }
    for (const std::string& line : done)
        print_text(line + "\n");
}

}  // namespace

void add_stop_verb(CLI::App& app, Invocation& invocation) {
    const auto words = std::make_shared<Words>();
    CLI::App* const verb = app.add_subcommand("stop",
                                              "Stop a device that outboardd drives; without outboardd, end "
                                              "the `outboard run` of it, or remove what a "
                                              "killed one left behind");
    verb->add_option("device", words->device, device_help)->required();
    verb->add_flag("--force", words->force, "Although its block device is in use: its users see errors");
    add_json_flag(*verb, invocation);
    verb->callback([words, &invocation] { run(*words, invocation); });
}

}  // namespace outboard::cli
