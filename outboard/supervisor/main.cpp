// outboardd: drives devices by hosts that may die.
#include "outboard/base/error.hpp"
#include "outboard/host/driver_table.hpp"
#include "outboard/host/forward_progress.hpp"
#include "outboard/host/stop_signals.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/supervisor/keeper_process.hpp"
#include "outboard/supervisor/service_manager.hpp"
#include "outboard/supervisor/spawn.hpp"
#include "outboard/supervisor/supervisor.hpp"

#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include <CLI/CLI.hpp>

namespace {

/// The host's program lies beside this one.
void find_programs(outboard::SupervisorOptions& options) {
    options.own_program = std::filesystem::read_symlink("/proc/self/exe");
    options.host_program = options.own_program.parent_path() / "outboard-host";
}

}  // namespace

int main(int argc, char** argv) {
    using outboard::Error;
    using outboard::ErrorKind;
    outboard::SupervisorOptions options;
    std::filesystem::path configuration = "/etc/outboard";
    CLI::App app("Runs drivers in processes of their own, and starts them again when they die", "outboardd");
    app.set_version_flag("--version", "outboard 0.1.0");
    app.failure_message(CLI::FailureMessage::simple);
    app.add_option("--config", configuration, "A TOML file, or a folder of them")->capture_default_str();
    app.add_option("--socket", options.socket, "Where it listens for orders")->capture_default_str();
    std::string drivers = outboard::driver_folder();
    app.add_option("--drivers", drivers, "Folder with further drivers, as modules (also OUTBOARD_DRIVERS)")
        ->capture_default_str();
    app.add_option("--group", options.group, "The group that may give orders")->capture_default_str();
    app.add_flag("--leave-running", options.leave_running,
                 "At the end leave devices and hosts to the next outboardd, as when this one is killed");
    bool keep = false;
    app.add_flag("--keep", keep, "Be the keeper of descriptors: for outboardd itself")->group("");
    try {
        app.parse(argc, argv);
        if (keep) {
            outboard::keep_descriptors(outboard::Fd(outboard::spawned_descriptor));
            return 0;
        }
        for (const std::string& refused : outboard::add_driver_modules(drivers))
            std::fprintf(stderr, "outboardd: %s\n", refused.c_str());
        options.configuration = outboard::read_configuration(configuration);
        find_programs(options);
        outboard::ServiceManager service;
        options.service = &service;
        std::signal(SIGPIPE, SIG_IGN);
        outboard::StopSignals signals;
        // Users of a disk wait for this process while its host is replaced.
        if (const std::string warning = outboard::begin_forward_progress(); !warning.empty())
            std::fprintf(stderr, "outboardd: %s\n", warning.c_str());
        for (const std::string& warning : outboard::secure_forward_progress())
            std::fprintf(stderr, "outboardd: %s\n", warning.c_str());
        outboard::RunLoop loop;
        outboard::Supervisor supervisor(loop, std::move(options));
        loop.run(supervisor.run(signals));
        return 0;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : static_cast<int>(ErrorKind::usage);
    } catch (const Error& error) {
        std::fprintf(stderr, "outboardd: %s\n", error.what());
        return error.exit_status();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "outboardd: %s\n", error.what());
        return static_cast<int>(ErrorKind::failed);
    }
}
