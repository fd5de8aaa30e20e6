// Memory that a device may reach is locked, and what a process may lock is limited (RLIMIT_MEMLOCK).
#pragma once

#include <cstdint>
#include <string>

namespace outboard::vfio {

/// How much this process has locked and may lock, in bytes.
struct MemoryLock {
    std::uint64_t locked = 0;      ///< by mlock and by DMA mappings together: the kernel counts them as one
    std::uint64_t soft_limit = 0;  ///< what holds; UINT64_MAX for no limit
    std::uint64_t hard_limit = 0;  ///< up to here the process may raise it by itself
    bool exempt = false;           ///< CAP_IPC_LOCK: no limit holds

    /// True when `size` more bytes can be locked.
    bool allows(std::uint64_t size) const noexcept {
        return exempt || (locked <= soft_limit && size <= soft_limit - locked);
    }
};

/// Reads a /proc/PID/status: VmLck and the effective capabilities.
MemoryLock parse_memory_lock(const std::string& status);

/// What holds for this process now. Throws Error when /proc is missing.
MemoryLock current_memory_lock();

/// Throws the Error (not_permitted) that explains a limit too low for mapping `size` bytes for `device`: the
/// limit, what is locked, what is needed and the ways to raise it.
[[noreturn]] void throw_memory_lock(const MemoryLock& lock, std::uint64_t size, const std::string& device);

/// Throws that error unless `size` more bytes can be locked.
void check_memory_lock(const MemoryLock& lock, std::uint64_t size, const std::string& device);

}  // namespace outboard::vfio
