// The `outboard` command: outboard VERB [DEVICE] [--json].
#include "outboard/base/error.hpp"
#include "outboard/cli/verb.hpp"
#include "outboard/host/driver_table.hpp"

#include <cstdio>
#include <exception>
#include <string>

#include <CLI/CLI.hpp>

int main(int argc, char** argv) {
    using outboard::Error;
    using outboard::ErrorKind;

    outboard::cli::Invocation invocation;
    CLI::App app("Device drivers outside the Linux kernel", "outboard");
    app.set_version_flag("--version", "outboard 0.1.0");
    app.require_subcommand(1);
    app.failure_message(CLI::FailureMessage::simple);
    try {
        outboard::cli::become_lab_if_asked(argc, argv);
        outboard::cli::add_list_verb(app, invocation);
        outboard::cli::add_doctor_verb(app, invocation);
        outboard::cli::add_bind_verb(app, invocation);
        outboard::cli::add_unbind_verb(app, invocation);
        outboard::cli::add_run_verb(app, invocation);
        outboard::cli::add_stop_verb(app, invocation);
        outboard::cli::add_supervisor_verbs(app, invocation);
        outboard::cli::add_bench_verb(app, invocation);
        outboard::cli::add_health_verb(app, invocation);
        outboard::cli::add_sim_verb(app, invocation);
        outboard::cli::add_faults_verb(app, invocation);
        outboard::cli::add_lab_verb(app, invocation);
        std::string folder = outboard::driver_folder();
        app.add_option("--drivers", folder, "Folder with further drivers, as modules (also OUTBOARD_DRIVERS)")
            ->capture_default_str();
        app.parse_complete_callback([&folder] {
            for (const std::string& refused : outboard::add_driver_modules(folder))
                std::fprintf(stderr, "outboard: %s\n", refused.c_str());
        });
        app.parse(argc, argv);
        return invocation.exit_status;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : static_cast<int>(ErrorKind::usage);
    } catch (const Error& error) {
        std::fprintf(stderr, "outboard: %s\n", error.what());
        return error.exit_status();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "outboard: %s\n", error.what());
        return static_cast<int>(ErrorKind::failed);
    }
}
