// What is said on the control socket of outboardd: one JSON object a line each way. docs/supervisor.md
// describes it.
#pragma once

#include "outboard/base/error.hpp"
#include "outboard/supervisor/managed_device.hpp"

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace outboard {

/// Where the socket lies unless somebody says otherwise.
inline constexpr const char* control_socket_path = "/run/outboard/control";

enum class Order { status, start, stop, restart, upgrade, logs };

struct Request {
    Order order = Order::status;
    std::string device{};  ///< empty only for status
    std::string driver{};  ///< upgrade: what takes over; empty: the same
    bool force = false;    ///< stop: although it is used
};

/// Reads a line. Throws Error (usage).
Request parse_request(std::string_view line);
/// The reverse, with its newline.
std::string to_line(const Request& request);

nlohmann::json to_json(const DeviceStatus& status);

/// The answers, with their newlines.
std::string good_answer(const nlohmann::json& result);
std::string bad_answer(const Error& error);

/// The result of an answer. Throws the Error that it tells.
nlohmann::json result_of(std::string_view line);

}  // namespace outboard
