// Threads and processes of a benchmark on processors of their own.
#pragma once

#include <algorithm>
#include <thread>

namespace outboard::bench {

/// The wanted processor, or the one that all share on a machine that has no other.
inline unsigned available(unsigned wanted) {
    return wanted % std::max(std::thread::hardware_concurrency(), 1U);
}

}  // namespace outboard::bench
