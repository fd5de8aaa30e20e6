#include "outboard/base/error.hpp"
#include "outboard/classes/disk_health.hpp"
#include "outboard/cli/driver_options.hpp"
#include "outboard/cli/table.hpp"
#include "outboard/cli/verb.hpp"
#include "outboard/host/device_host.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace outboard::cli {

namespace {

DiskHealth ask(const std::string& device) {
    RunLoop loop;
    const std::unique_ptr<DeviceHost> host =
        loop.run(DeviceHost::open(loop, {.device = DeviceName::parse(device), .driver = driver_options({})}));
    std::optional<DiskHealth> health;
    try {
        health = loop.run(host->driver().read_health());
    } catch (...) {
        loop.run(host->close(host->bound_here()));
        throw;
    }
    loop.run(host->close(host->bound_here()));
    if (!health)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "read the health of",
                     .subject = device,
                     .cause = "it does not tell, or its driver cannot ask",
                     .remedy = {}});
    return std::move(*health);
}

/// The figures that a device tells, in their order.
template <class Visit>
void for_each_figure(const DiskHealth& health, const Visit& visit) {
    visit("temperature_celsius", "temperature", health.temperature_celsius, " °C");
    visit("spare_percent", "spare capacity", health.spare_percent, " %");
    visit("spare_threshold_percent", "warns below", health.spare_threshold_percent, " %");
    visit("used_percent", "used up", health.used_percent, " %");
    visit("bytes_read", "read", health.bytes_read, " bytes");
    visit("bytes_written", "written", health.bytes_written, " bytes");
    visit("read_commands", "read commands", health.read_commands, "");
    visit("write_commands", "write commands", health.write_commands, "");
    visit("busy_minutes", "busy", health.busy_minutes, " min");
    visit("power_cycles", "power cycles", health.power_cycles, "");
    visit("power_on_hours", "power on", health.power_on_hours, " h");
    visit("unsafe_shutdowns", "unsafe shutdowns", health.unsafe_shutdowns, "");
    visit("media_errors", "media errors", health.media_errors, "");
    visit("logged_errors", "failed commands", health.logged_errors, "");
}

nlohmann::json to_json(const DiskHealth& health, const std::string& device) {
    nlohmann::json document = {{"device", device}, {"warnings", health.warnings}};
    for_each_figure(health,
                    [&document](const char* key, std::string_view, const auto& value, std::string_view) {
                        document[key] = value ? nlohmann::json(*value) : nlohmann::json();
                    });
    nlohmann::json& errors = document["errors"] = nlohmann::json::array();
    for (const LoggedError& error : health.errors)
        errors.push_back({{"number", error.number},
                          {"what", error.what},
                          {"disk", error.disk ? nlohmann::json(*error.disk) : nlohmann::json()},
                          {"block", error.block ? nlohmann::json(*error.block) : nlohmann::json()}});
    return document;
}

void print(const DiskHealth& health) {
    std::string text;
    for (const std::string& warning : health.warnings)
        text += fmt::format("WARNING: {}\n", warning);
    if (health.warnings.empty())
        text += "no warning\n";
    for_each_figure(health,
                    [&text](const char*, std::string_view name, const auto& value, std::string_view unit) {
                        if (value)
                            text += fmt::format("{:<18}{}{}\n", name, *value, unit);
                    });
    print_text(text);
    if (health.errors.empty())
        return;
    Table table({"ERROR", "DISK", "BLOCK", "WHAT"});
    for (const LoggedError& error : health.errors)
        table.add({std::to_string(error.number), error.disk ? std::to_string(*error.disk) : "-",
                   error.block ? std::to_string(*error.block) : "-", error.what});
    print_text("\n" + table.text());
}

void run(const std::string& device, Invocation& invocation) {
    const DiskHealth health = ask(device);
    if (invocation.json)
        print_json(to_json(health, device));
    else
        print(health);
    if (!health.warnings.empty())
        invocation.exit_status = static_cast<int>(ErrorKind::io);
}

}  // namespace

void add_health_verb(CLI::App& app, Invocation& invocation) {
    const auto device = std::make_shared<std::string>();
    CLI::App* const verb =
        app.add_subcommand("health", "Ask a disk how it is: warnings, wear, counters, the last errors");
    verb->add_option("device", *device, device_help)->required();
    add_json_flag(*verb, invocation);
    verb->footer("The exit status is 7 when the device warns.");
    verb->callback([device, &invocation] { run(*device, invocation); });
}

}  // namespace outboard::cli
