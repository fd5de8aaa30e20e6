// Where a thread runs.
#pragma once

#include "outboard/base/error.hpp"

#include <cerrno>
#include <string>

#include <sched.h>

namespace outboard {

/// Keeps the calling thread on a processor, counted from 0. Throws Error when it is not one that this process
/// may use.
inline void pin_thread(unsigned processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (processor < CPU_SETSIZE)
        CPU_SET(processor, &set);
    if (::sched_setaffinity(0, sizeof set, &set) != 0)
        throw_errno(errno, "run on", "processor " + std::to_string(processor),
                    "choose one that this machine has and this process may use");
}

}  // namespace outboard
