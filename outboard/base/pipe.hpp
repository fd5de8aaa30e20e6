// A pipe whose two ends are owned.
#pragma once

#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace outboard {

struct Pipe {
    Fd read_end;
    Fd write_end;
};

/// Both ends are closed on exec. Throws Error.
inline Pipe make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        throw_errno(errno, "create", "a pipe");
    return {.read_end = Fd(ends[0]), .write_end = Fd(ends[1])};
}

}  // namespace outboard
