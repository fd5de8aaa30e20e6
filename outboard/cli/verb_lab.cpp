#include "outboard/base/error.hpp"
#include "outboard/cli/verb.hpp"

#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>
#include <unistd.h>

namespace outboard::cli {

void become_lab_if_asked(int argc, char** argv) {
    if (argc < 2 || std::string_view(argv[1]) != "lab")
        return;
    const std::filesystem::path program =
        std::filesystem::read_symlink("/proc/self/exe").replace_filename("outboard-lab");
    // Its words begin with the verb's name, where a program expects its own.
    ::execv(program.c_str(), argv + 1);
    throw_errno(errno, "start", program.string(), "build the whole project; inside a lab there is no lab");
}

void add_lab_verb(CLI::App& app, Invocation&) {
    app.add_subcommand("lab", "Run a command, or a shell, in a QEMU machine for driver work");
}

}  // namespace outboard::cli
