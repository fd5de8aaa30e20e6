#include "outboard/cli/table.hpp"
#include "outboard/cli/verb.hpp"
#include "outboard/supervisor/control_client.hpp"
#include "outboard/supervisor/control_protocol.hpp"

#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace outboard::cli {

namespace {

/// A text of an answer, "-" for none.
std::string text_of(const nlohmann::json& document, const char* key) {
    const nlohmann::json value = document.value(key, nlohmann::json());
    if (value.is_string())
        return value.get<std::string>().empty() ? "-" : value.get<std::string>();
    return value.is_null() ? "-" : value.dump();
}

void print_devices(const nlohmann::json& devices) {
    Table table({"DEVICE", "DRIVER", "STATE", "HOST", "EXPORTS", "RESTARTS", "LAST FAILURE"});
    for (const nlohmann::json& device : devices) {
        std::string exports;
        for (const nlohmann::json& one : device.value("exports", nlohmann::json::array()))
            exports += fmt::format("{}{}", exports.empty() ? "" : ",", one.get<std::string>());
        table.add({text_of(device, "device"), text_of(device, "driver"), text_of(device, "state"),
                   text_of(device, "host_pid"), exports.empty() ? "-" : exports, text_of(device, "restarts"),
                   text_of(device, "last_failure")});
    }
    print_text(table.text());
}

void show(const nlohmann::json& result, Order order, const Invocation& invocation) {
    if (invocation.json) {
        print_json(result);
        return;
    }
    if (order == Order::logs) {
        for (const nlohmann::json& line : result)
            print_text(line.get<std::string>() + "\n");
        return;
    }
    print_devices(result.is_array() ? result : nlohmann::json::array({result}));
}

CLI::App* add_verb(CLI::App& app, Invocation& invocation, Order order, const char* name, const char* help,
                   const std::shared_ptr<Request>& request) {
    CLI::App* const verb = app.add_subcommand(name, help);
    CLI::Option* const device = verb->add_option("device", request->device, device_help);
    if (order != Order::status)
        device->required();
    add_json_flag(*verb, invocation);
    verb->callback([request, order, &invocation] {
        request->order = order;
        show(ask_supervisor(*request), order, invocation);
    });
    return verb;
}

}  // namespace

void add_supervisor_verbs(CLI::App& app, Invocation& invocation) {
    const auto request = std::make_shared<Request>();
    add_verb(app, invocation, Order::status, "status", "Show the devices that outboardd drives", request);
    add_verb(app, invocation, Order::start, "start",
             "Have outboardd drive a device, in a process that may die", request);
    add_verb(app, invocation, Order::restart, "restart",
             "Put another process in the place of the one that drives a device: its users see a pause",
             request);
    add_verb(app, invocation, Order::upgrade, "upgrade", "The same with another driver, if one is named",
             request)
        ->add_option("--driver", request->driver, "What takes over: a driver's name");
    add_verb(app, invocation, Order::logs, "logs", "Show what was said of a device lately", request);
}

}  // namespace outboard::cli
