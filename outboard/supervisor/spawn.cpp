#include "outboard/supervisor/spawn.hpp"

#include "outboard/base/error.hpp"

#include <csignal>

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

namespace outboard {

namespace {

/// What posix_spawn needs to be told, freed when it goes.
class SpawnPlan {
  public:
    explicit SpawnPlan(int descriptor) {
        ::posix_spawn_file_actions_init(&actions_);
        ::posix_spawnattr_init(&attributes_);
        sigset_t none;
        sigset_t all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        // A supervisor blocks and ignores signals that others have their own mind about; and what is typed at
        // a terminal is for the supervisor.
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        ::posix_spawnattr_setsigdefault(&attributes_, &all);
        ::posix_spawnattr_setflags(&attributes_,
                                   POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
        ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        ::posix_spawn_file_actions_adddup2(&actions_, descriptor, spawned_descriptor);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;
    SpawnPlan(SpawnPlan&&) = delete;
    SpawnPlan& operator=(SpawnPlan&&) = delete;
    ~SpawnPlan() {
        ::posix_spawn_file_actions_destroy(&actions_);
        ::posix_spawnattr_destroy(&attributes_);
    }

    /// 0 or an errno value.
    int spawn(const std::filesystem::path& program, char* const* arguments, pid_t& pid) const {
        return ::posix_spawn(&pid, program.c_str(), &actions_, &attributes_, arguments, environ);
    }

  private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

}  // namespace

int spawn(const std::filesystem::path& program, std::vector<std::string> arguments, int descriptor) {
    std::string name = program.filename().string();
    std::vector<char*> words{name.data()};
    for (std::string& argument : arguments)
        words.push_back(argument.data());
    words.push_back(nullptr);
    pid_t pid = -1;
    if (const int error = SpawnPlan(descriptor).spawn(program, words.data(), pid); error != 0)
        throw_errno(error, "start", program.string());
    return pid;
}

}  // namespace outboard
