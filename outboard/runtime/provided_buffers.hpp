// Buffers from which the kernel takes one for each completion of a multishot operation (a provided-buffer
// ring, Linux 5.19).
#pragma once

#include "outboard/runtime/run_loop.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace outboard {

/// Made, used and destroyed on the thread of the loop, before it. No operation that takes from it may be
/// going on when it goes.
class ProvidedBuffers {
  public:
    /// `count` buffers (a power of two, at most 32768) of `bytes` each. Throws Error.
    ProvidedBuffers(RunLoop& loop, unsigned count, std::size_t bytes);
    ProvidedBuffers(const ProvidedBuffers&) = delete;
    ProvidedBuffers& operator=(const ProvidedBuffers&) = delete;
    ProvidedBuffers(ProvidedBuffers&&) = delete;
    ProvidedBuffers& operator=(ProvidedBuffers&&) = delete;
    ~ProvidedBuffers();

    /// What a submission entry names as its buf_group, with IOSQE_BUFFER_SELECT.
    std::uint16_t group() const noexcept { return group_; }
    /// The buffer of a completion with IORING_CQE_F_BUFFER among its `flags`. It is the caller's until it is
    /// given back.
    std::span<std::byte> taken(unsigned flags) const noexcept;
    void give_back(unsigned flags) noexcept;

  private:
    struct Free {
        void operator()(void* memory) const noexcept;
    };

    void provide(unsigned number) noexcept;

    RunLoop* loop_;
    unsigned count_;
    std::size_t bytes_;
    std::uint16_t group_;
    std::unique_ptr<std::byte[]> buffers_;
    std::unique_ptr<io_uring_buf_ring, Free> ring_;
};

}  // namespace outboard
