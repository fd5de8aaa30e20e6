#include "outboard/base/error.hpp"
#include "outboard/cli/verb.hpp"

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <unistd.h>

namespace outboard::cli {

namespace {

// The lab is a program of its own beside this one: its libraries (35 MB with all that libarchive brings)
// would otherwise go into every guest, with this program.
[[noreturn]] void become_lab(std::vector<std::string> words) {
    std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe");
    program.replace_filename("outboard-lab");
    words.insert(words.begin(), "outboard lab");
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execv(program.c_str(), argv.data());
    throw_errno(errno, "start", program.string(), "build the whole project; inside a lab there is no lab");
}

}  // namespace

void add_lab_verb(CLI::App& app, Invocation&) {
    CLI::App* verb =
        app.add_subcommand("lab", "Run a command, or a shell, in a QEMU machine for driver work");
    verb->prefix_command();
    verb->set_help_flag();
    verb->callback([verb] { become_lab(verb->remaining()); });
}

}  // namespace outboard::cli
