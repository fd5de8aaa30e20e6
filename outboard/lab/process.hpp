// Programs of the host that the lab runs: apt-get, depmod, strip, QEMU.
#pragma once

#include "outboard/base/fd.hpp"

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

namespace outboard::lab {

/// A program to run. It dies with the thread that started it, and it may hold no descriptors but those
/// listed.
struct Command {
    std::vector<std::string> argv;         ///< argv[0]: in PATH, or a path as seen from `directory`
    std::vector<std::string> environment;  ///< "NAME=value", added to our own environment
    std::filesystem::path directory{};     ///< working directory; empty is ours
    std::chrono::seconds deadline{600};    ///< run_command kills the program after this time
    /// All its threads share one processor, and its first goes before the others wherever this process may
    /// order that (CAP_SYS_NICE): what the first does for the others is done at once, and not when chance
    /// wants it.
    bool in_step = false;
};

/// Runs a program to its end and returns what it wrote to standard output. Throws Error (with the end of what
/// it wrote to standard error as the cause) when it cannot be started, fails or exceeds its deadline.
/// `action` and `subject` are the words of that error: "fetch", "linux-image-…".
std::string run_command(const Command& command, const std::string& action, const std::string& subject);

/// A child process, killed and reaped when this object goes.
class Child {
  public:
    Child() noexcept = default;
    /// Starts `command` with standard input from /dev/null, its output to the two descriptors, and
    /// `inherited` descriptors kept open under their numbers. The caller keeps ownership of all of them.
    /// Throws Error.
    static Child start(const Command& command, int output, int error_output,
                       const std::vector<int>& inherited);

    Child(Child&& other) noexcept;
    Child& operator=(Child&& other) noexcept;
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child();

    /// Readable when the process has ended; owned by this object.
    int pidfd() const noexcept { return pidfd_.get(); }
    /// Sends a signal; nothing when the process has ended.
    void signal(int number) const noexcept;
    /// Waits for the end at most `limit`; the wait status as of waitpid(2), or -1 when it still runs.
    int wait(std::chrono::milliseconds limit);

  private:
    void end() noexcept;

    pid_t pid_ = -1;
    Fd pidfd_;
};

/// Finds a program in PATH and in the directories of system administration; empty when there is none.
std::filesystem::path find_program(const std::string& name);

}  // namespace outboard::lab
