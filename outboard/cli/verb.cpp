#include "outboard/cli/verb.hpp"

#include "outboard/base/error.hpp"

#include <cerrno>
#include <cstdio>
#include <string>

#include <nlohmann/json.hpp>

namespace outboard::cli {

void add_json_flag(CLI::App& verb, Invocation& invocation) {
    verb.add_flag("--json", invocation.json, "Print JSON for programs instead of a table");
}

void print_text(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        throw_errno(errno, "write to", "standard output");
}

void print_json(const nlohmann::json& document) {
    // Names of processes and mount points may hold any bytes; JSON is UTF-8.
    print_text(document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace outboard::cli
