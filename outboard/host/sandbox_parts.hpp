// The steps of entering the sandbox. Internal to host/sandbox*.
#pragma once

#include "outboard/host/sandbox.hpp"

#include <memory>
#include <string>

namespace outboard::detail {

/// New namespaces for files, network and IPC, where the process has the rights for them. The root of the
/// first is empty.
void leave_namespaces(SandboxReport& report);

/// Handles every access right that the kernel's Landlock knows and allows none.
void restrict_by_landlock(SandboxReport& report);

struct ReleaseFilter {
    void operator()(void* filter) const noexcept;
};

/// The filters of system calls, made before they are installed: making one takes calls that they forbid.
class CallFilters {
  public:
    /// Throws Error.
    explicit CallFilters(const SandboxRules& rules);

    /// All but that code can be mapped still, and that the driver's file can be opened. Throws Error.
    void install();
    /// The end of these two. Throws Error.
    void seal();

  private:
    std::unique_ptr<void, ReleaseFilter> calls_;
    std::unique_ptr<void, ReleaseFilter> code_;
};

/// Answers the calls that the filters hand to the process itself, because they name a file by its path and
/// libc makes them for what is open already: openat of the driver's path gives a copy of its descriptor,
/// newfstatat of a descriptor is an fstat, and all others fail with EPERM. The kernel sees no path.
void answer_path_calls(const SandboxRules& rules);
/// From now on the driver's path is refused too.
void refuse_driver_path() noexcept;

}  // namespace outboard::detail
