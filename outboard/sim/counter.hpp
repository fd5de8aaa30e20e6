// A number that one thread counts up and others read.
#pragma once

#include <atomic>
#include <cstdint>

namespace outboard::sim {

/// Counted by one thread, at the cost of a plain addition; read by any.
class Counter {
  public:
    Counter& operator++() noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        return *this;
    }
    operator std::uint64_t() const noexcept {  // NOLINT(google-explicit-constructor): it is that number
        return value_.load(std::memory_order_relaxed);
    }

  private:
    std::atomic<std::uint64_t> value_{0};
};

}  // namespace outboard::sim
