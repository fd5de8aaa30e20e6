// A process that serves a disk must get on when memory is short: the kernel may be waiting for this very disk
// to free some.
#pragma once

#include <string>
#include <vector>

namespace outboard {

/// Makes this thread and its process fit to serve a disk: allocations that the kernel makes for it start no
/// I/O (PR_SET_IO_FLUSHER), its memory stays resident, and the out-of-memory killer takes others first. Call
/// it on the serving thread once everything is set up. Returns what could not be done and what that means,
/// one text each; needs CAP_SYS_RESOURCE and CAP_IPC_LOCK, or a limit (RLIMIT_MEMLOCK) that is high enough.
std::vector<std::string> secure_forward_progress();

}  // namespace outboard
