// A process in a sandbox, for tests: what a host is without a supervisor.
#pragma once

#include "outboard/base/error.hpp"
#include "outboard/host/sandbox.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard::test {

/// What a child process said, a line each, and how it ended (as waitpid says).
struct Testimony {
    std::vector<std::string> lines;
    int status = 0;

    bool says(const std::string& line) const { return std::ranges::find(lines, line) != lines.end(); }
};

/// A sentence to the test: from a sandbox too.
using Say = std::function<void(const std::string&)>;

/// Runs `body` in a child process. What it throws is said as "thrown: …", and it ends with status 1.
inline Testimony in_child(const std::function<void(const Say&)>& body) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0)
        throw_errno(errno, "make", "a pipe");
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        const Say say = [fd = ends[1]](const std::string& line) {
            const std::string text = line + "\n";
            static_cast<void>(!::write(fd, text.data(), text.size()));
        };
        int status = 0;
        try {
            body(say);
        } catch (const std::exception& error) {
            say(std::string("thrown: ") + error.what());
            status = 1;
        }
        ::_exit(status);
    }
    ::close(ends[1]);
    Testimony testimony;
    std::string text;
    std::array<char, 4096> chunk{};
    for (ssize_t count = 0; (count = ::read(ends[0], chunk.data(), chunk.size())) > 0;)
        text.append(chunk.data(), static_cast<std::size_t>(count));
    ::close(ends[0]);
    ::waitpid(child, &testimony.status, 0);
    for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
        testimony.lines.push_back(text.substr(at, end - at));
    return testimony;
}

/// A user that nobody else is.
/// One for each process of tests: limits count what all processes of a user have.
inline const SandboxUser nobody_else{.user = 60000 + static_cast<uid_t>(::getpid()) % 4000,
                                     .group = 60000 + static_cast<gid_t>(::getpid()) % 4000};

/// Who the child is before it enters.
enum class Start { root, ordinary_user };

/// Makes an ordinary user of a child that is root.
inline void become_ordinary() {
    if (::getuid() == 0 && (::setresgid(nobody_else.group, nobody_else.group, nobody_else.group) != 0 ||
                            ::setresuid(nobody_else.user, nobody_else.user, nobody_else.user) != 0))
        throw_errno(errno, "become", "an ordinary user");
}

inline SandboxRules rules_for(Start start) {
    SandboxRules rules;
    if (start == Start::root)
        rules.user = nobody_else;
    rules.limits.tasks = 8;
    rules.core_dumps = false;
    return rules;
}

}  // namespace outboard::test
