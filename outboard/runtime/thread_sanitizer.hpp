// What ThreadSanitizer cannot see: it knows of no system call that it does not intercept, and liburing makes
// its own.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define OUTBOARD_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OUTBOARD_THREAD_SANITIZER 1
#endif
#endif

#ifdef OUTBOARD_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

namespace outboard {

#ifdef OUTBOARD_THREAD_SANITIZER
inline constexpr bool thread_sanitizer = true;
#else
inline constexpr bool thread_sanitizer = false;
#endif

#ifdef OUTBOARD_THREAD_SANITIZER
namespace detail {
inline char ring_memory_order;
}
#endif

/// A ring's memory is about to be unmapped: another thread may get the same addresses for a ring of its own.
inline void ring_memory_given_back() noexcept {
#ifdef OUTBOARD_THREAD_SANITIZER
    __tsan_release(&detail::ring_memory_order);
#endif
}

/// A ring's memory was mapped: what was done at its addresses before belongs to rings that are gone.
inline void ring_memory_taken() noexcept {
#ifdef OUTBOARD_THREAD_SANITIZER
    __tsan_acquire(&detail::ring_memory_order);
#endif
}

}  // namespace outboard
