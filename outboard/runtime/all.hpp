// Several tasks at the same time on one loop.
#pragma once

#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <vector>

namespace outboard {

/// Starts all tasks and waits until each has ended. When one throws, or this one is cancelled, the others are
/// cancelled and their ends awaited; then it throws what the first threw, or Cancelled. Throws Error when
/// there is no descriptor.
Task<void> all(RunLoop& loop, std::vector<Task<void>> tasks);

}  // namespace outboard
