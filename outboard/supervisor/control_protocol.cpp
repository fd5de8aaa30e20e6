#include "outboard/supervisor/control_protocol.hpp"

#include "outboard/host/protocol/messages.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

using nlohmann::json;

constexpr std::array order_names{"status", "start", "stop", "restart", "upgrade", "logs"};

[[noreturn]] void throw_senseless(std::string cause) {
    throw Error({.kind = ErrorKind::usage,
                 .action = "understand",
                 .subject = "a request",
                 .cause = std::move(cause),
                 .remedy = "docs/supervisor.md describes what can be asked"});
}

std::string text_at(const json& document, const char* key) {
    return document.contains(key) ? document.at(key).get<std::string>() : std::string();
}

std::string line_of(const json& document) {
    return document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

Request parse_request(std::string_view line) {
    try {
        const json document = json::parse(line);
        const auto name = document.at("command").get<std::string>();
        const auto found = std::ranges::find(order_names, name);
        if (found == order_names.end())
            throw_senseless(fmt::format("there is no command '{}'", name));
        Request request{.order = static_cast<Order>(found - order_names.begin()),
                        .device = text_at(document, "device"),
                        .driver = text_at(document, "driver"),
                        .force = document.contains("force") && document.at("force").get<bool>()};
        if (request.device.empty() && request.order != Order::status)
            throw_senseless(fmt::format("'{}' needs a device", name));
        return request;
    } catch (const json::exception& error) {
        throw_senseless(error.what());
    }
}

std::string to_line(const Request& request) {
    json document{{"command", order_names[static_cast<std::size_t>(request.order)]}};
    if (!request.device.empty())
        document["device"] = request.device;
    if (!request.driver.empty())
        document["driver"] = request.driver;
    if (request.force)
        document["force"] = true;
    return line_of(document);
}

json to_json(const DeviceStatus& status) {
    return {{"device", status.device},
            {"driver", status.driver},
            {"state", to_string(status.state)},
            {"host_pid", status.host_pid != 0 ? json(status.host_pid) : json()},
            {"exports", status.exports},
            {"restarts", status.restarts},
            {"last_failure", !status.last_failure.empty() ? json(status.last_failure) : json()},
            {"recovery_us", status.recovery_us},
            {"device_start_us", status.device_start_us}};
}

std::string good_answer(const json& result) {
    return line_of({{"ok", true}, {"result", result}});
}

std::string bad_answer(const Error& error) {
    const hosting::Failed parts = hosting::describe(error);
    return line_of({{"ok", false},
                    {"error",
                     {{"kind", parts.kind},
                      {"action", parts.action},
                      {"subject", parts.subject},
                      {"cause", parts.cause},
                      {"remedy", parts.remedy}}}});
}

json result_of(std::string_view line) {
    try {
        const json document = json::parse(line);
        if (document.at("ok").get<bool>())
            return document.at("result");
        const json& error = document.at("error");
        throw hosting::error_of({.kind = error.at("kind").get<int>(),
                                 .action = error.at("action").get<std::string>(),
                                 .subject = error.at("subject").get<std::string>(),
                                 .cause = error.at("cause").get<std::string>(),
                                 .remedy = error.at("remedy").get<std::string>()});
    } catch (const json::exception& error) {
        throw Error({.kind = ErrorKind::failed,
                     .action = "understand",
                     .subject = "the answer of outboardd",
                     .cause = error.what(),
                     .remedy = {}});
    }
}

}  // namespace outboard
