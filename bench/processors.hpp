// Threads and processes of a benchmark on processors of their own.
#pragma once

#include "outboard/base/error.hpp"

#include <algorithm>
#include <cerrno>
#include <thread>

#include <fmt/format.h>
#include <sched.h>

namespace outboard::bench {

/// Keeps the calling thread on a processor. Throws Error when there is none of that number.
inline void pin_to(unsigned processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (::sched_setaffinity(0, sizeof set, &set) != 0)
        throw_errno(errno, "run on", fmt::format("processor {}", processor),
                    "use a machine with two processors");
}

/// The wanted processor, or the one that all share on a machine that has no other.
inline unsigned available(unsigned wanted) {
    return wanted % std::max(std::thread::hardware_concurrency(), 1U);
}

}  // namespace outboard::bench
