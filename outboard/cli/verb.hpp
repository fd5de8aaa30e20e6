// What the verbs of the `outboard` command share. Each verb is one file, verb_NAME.cpp.
#pragma once

#include <string_view>

#include <CLI/App.hpp>
#include <nlohmann/json_fwd.hpp>

namespace outboard::cli {

/// One run of the command. A verb's callback reads `json`, prints to standard output and sets `exit_status`.
struct Invocation {
    bool json = false;    ///< print JSON instead of a table
    int exit_status = 0;  ///< what main returns when no Error is thrown
};

/// What a verb says about its argument DEVICE when it takes devices of both kinds.
inline constexpr const char* device_help =
    "PCI address in full, such as 0000:00:04.0, or vfio-user:PATH for a server's socket";

/// Adds `--json` to a verb.
void add_json_flag(CLI::App& verb, Invocation& invocation);

/// Prints text to standard output. Throws Error when that fails.
void print_text(std::string_view text);

/// Prints one JSON document, indented, with a newline, to standard output. Throws Error when that fails.
void print_json(const nlohmann::json& document);

/// Each adds one verb with its options to `app`; both references must outlive the parse.
void add_bench_verb(CLI::App& app, Invocation& invocation);
void add_bind_verb(CLI::App& app, Invocation& invocation);
void add_doctor_verb(CLI::App& app, Invocation& invocation);
void add_faults_verb(CLI::App& app, Invocation& invocation);
void add_health_verb(CLI::App& app, Invocation& invocation);
void add_lab_verb(CLI::App& app, Invocation& invocation);
void add_list_verb(CLI::App& app, Invocation& invocation);
void add_run_verb(CLI::App& app, Invocation& invocation);
void add_sim_verb(CLI::App& app, Invocation& invocation);
void add_stop_verb(CLI::App& app, Invocation& invocation);
/// Those that ask outboardd: status, start, restart, upgrade and logs.
void add_supervisor_verbs(CLI::App& app, Invocation& invocation);
void add_unbind_verb(CLI::App& app, Invocation& invocation);

/// `outboard lab …` becomes the program outboard-lab beside this one, which reads its own words; returns when
/// another verb is asked for. The lab is a program of its own because every guest gets this one, with all its
/// libraries, and the lab's are 35 MB. Throws Error when there is no such program.
void become_lab_if_asked(int argc, char** argv);

}  // namespace outboard::cli
