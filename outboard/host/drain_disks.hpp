// The orderly end of exports: nobody uses the disks any more, and all that was written is on them.
#pragma once

#include "outboard/host/stop_signals.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace outboard {

/// Waits until nobody uses one of `disks` ("ublkb0"; it tells whom it waits for), `grace` is over or another
/// signal comes; then has the kernel write what its page cache holds, at most 30 s. What cannot be done is
/// told to `report`. The disks are served meanwhile, on other threads or by turns of `loop`.
Task<void> drain_disks(RunLoop& loop, StopSignals& signals, std::vector<std::string> disks,
                       std::chrono::seconds grace, std::function<void(std::string_view)> report);

/// Has the kernel write what its page cache holds, on a thread of its own, because this one may have to serve
/// what that asks for. Throws Error (timed_out) after `limit`.
Task<void> sync_everything(RunLoop& loop, Duration limit);

}  // namespace outboard
