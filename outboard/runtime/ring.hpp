// How the io_uring of a run loop is made. Internal to runtime/.
#pragma once

#include <span>

#include <liburing.h>

namespace outboard::detail {

/// A ring as RunLoop needs it, with `entries` submission entries and four times as many completions.
/// `disabled`: nothing can be submitted before it is enabled, by the thread that uses it from then on;
/// without that the calling thread is the one. Throws Error (kind unsupported) naming what the kernel's
/// io_uring lacks, or that it is disabled.
io_uring make_ring(unsigned entries, bool disabled);

/// Allows a disabled ring these for good, and nothing else. 0 or a negative errno value.
int restrict_ring(io_uring& ring, std::span<io_uring_restriction> allowed) noexcept;

/// Enables a disabled ring for the calling thread. 0 or a negative errno value.
int enable_ring(io_uring& ring) noexcept;

}  // namespace outboard::detail
