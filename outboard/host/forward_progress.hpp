// A process that serves a disk must get on when memory is short: the kernel may be waiting for this very disk
// to free some.
#pragma once

#include <string>
#include <vector>

namespace outboard {

/// Allocations that the kernel makes for this thread, and for those that it starts, begin no I/O and wait for
/// none (PR_SET_IO_FLUSHER). Call it before the memory that the disk needs is allocated: where a disk is
/// taken over, all that fills the machine may be waiting for it. Returns what could not be done and what that
/// means; empty when it was done. Needs CAP_SYS_RESOURCE.
std::string begin_forward_progress();

/// The rest of what makes a process fit to serve a disk: its memory stays resident, and the out-of-memory
/// killer takes others first. Call it on the serving thread once everything is set up. Returns what could not
/// be done and what that means, one text each; needs CAP_SYS_RESOURCE and CAP_IPC_LOCK, or a limit
/// (RLIMIT_MEMLOCK) that is high enough.
std::vector<std::string> secure_forward_progress();

/// What a thread needs besides, of those that are started later to serve a part: its stack is resident as
/// deep as the data path may go. On that thread, before it serves.
void secure_thread() noexcept;

}  // namespace outboard
