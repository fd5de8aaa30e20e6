// Asking outboardd.
#pragma once

#include "outboard/supervisor/control_protocol.hpp"

#include <filesystem>
#include <optional>

#include <nlohmann/json.hpp>

namespace outboard {

/// Sends a request and waits for the answer's result; blocks, at most for some minutes. Throws the Error that
/// outboardd tells, and Error (not_found) when nobody listens on the socket.
nlohmann::json ask_supervisor(const Request& request,
                              const std::filesystem::path& socket = control_socket_path);

/// Whether a supervisor listens there and has the device; false also when it may not be asked.
bool supervises(const std::string& device, const std::filesystem::path& socket = control_socket_path);

}  // namespace outboard
