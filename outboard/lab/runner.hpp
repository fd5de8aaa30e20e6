// One run of the lab's machine: QEMU, the guest's command, its input and output, and the deadline.
#pragma once

#include "outboard/base/error.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace outboard::lab {

/// The exit status of a lab whose deadline came before the command's end, as timeout(1) has it.
inline constexpr int deadline_status = 124;

/// What the run needs beside QEMU's command line.
struct RunPlan {
    std::vector<std::string> qemu;         ///< from qemu_arguments()
    std::vector<std::string> environment;  ///< for QEMU: "NAME=value"
    bool in_step = false;                  ///< QEMU runs as Command::in_step says
    int port = -1;                         ///< QEMU's end of the channel, inherited by it
    int host_end = -1;                     ///< our end of the channel
    std::filesystem::path console;         ///< what the guest's kernel writes
    std::filesystem::path qemu_log;        ///< what QEMU writes
    std::chrono::seconds deadline{600};
    bool terminal = false;      ///< standard input is a terminal that the guest's command gets
    bool forward_input = true;  ///< carry standard input to the command
    /// Where the command's output goes; nothing: our standard output and standard error.
    std::function<void(bool error_output, std::string_view bytes)> output;
    /// Called with the guest path and a complete tar archive for each file that came back, or without archive
    /// when the guest has no such file.
    std::function<void(const std::string& path, const std::optional<std::string>& archive)> file;
};

/// How a run ended.
struct RunOutcome {
    int exit_status = 0;  ///< of the command; deadline_status when the deadline came
    bool deadline_came = false;
    double boot_seconds = 0;  ///< from the start of QEMU to the start of the command
    double seconds = 0;       ///< from the start of QEMU to the end
};

/// The guest's kernel had begun to boot and ended before the command was started; nothing of standard input
/// was taken.
class BootFailure final : public Error {
  public:
    using Error::Error;
};

/// Runs QEMU until the command has ended or the deadline came, and ends QEMU. SIGINT, SIGTERM and SIGHUP end
/// it too (exit status 128 + signal). Throws Error (BootFailure before the command was started) when QEMU or
/// the guest's kernel ends early, with the end of what they wrote.
RunOutcome run_machine(const RunPlan& plan);

/// The last lines of a log, for messages.
std::string log_tail(const std::filesystem::path& log, std::size_t lines);

}  // namespace outboard::lab
