// The memory behind a BAR that clients map.
#pragma once

#include "outboard/base/fd.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace outboard::sim {

/// Owns a memfd of the BAR's size, whose size cannot be changed by those who get it, and its mapping. Memory
/// is used as it is touched.
class SharedBar {
  public:
    /// Throws Error.
    explicit SharedBar(std::uint64_t size);
    SharedBar(const SharedBar&) = delete;
    SharedBar& operator=(const SharedBar&) = delete;
    SharedBar(SharedBar&&) = delete;
    SharedBar& operator=(SharedBar&&) = delete;
    ~SharedBar();

    int fd() const noexcept { return fd_.get(); }
    /// The client writes here too: access it through volatile pointers or atomics.
    std::span<std::byte> bytes() const noexcept { return bytes_; }

  private:
    Fd fd_;
    std::span<std::byte> bytes_;
};

}  // namespace outboard::sim
