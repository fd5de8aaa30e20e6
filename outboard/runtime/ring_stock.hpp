// Rings made ahead, for a process that may make none later: one in a sandbox.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include <liburing.h>

namespace outboard {

struct RingStockOptions {
    unsigned entries = 256;  ///< of each ring, in its submission queue
    /// ProvidedBuffers can be made on a loop with such a ring. Registering them can take memory of the kernel
    /// that no limit of the process counts, only that of its cgroup.
    bool provided_buffers = false;
};

/// io_uring carries out what its entries say past every seccomp filter. So the rings of a sandboxed process
/// are made before it is one, and each is restricted for good (IORING_REGISTER_RESTRICTIONS): it takes the
/// operations of a RunLoop (poll, read, write, timeout, cancel and the commands of a descriptor) and refuses
/// all others, those that open, connect or make anything among them, with -EACCES. A restricted ring reaches
/// the descriptors of its process and can get no other.
///
/// One thread makes it; take() may be called by any.
class RingStock {
  public:
    /// Makes `count` rings. Throws Error as RunLoop does.
    explicit RingStock(unsigned count, const RingStockOptions& options = {});
    RingStock(const RingStock&) = delete;
    RingStock& operator=(const RingStock&) = delete;
    RingStock(RingStock&&) = delete;
    RingStock& operator=(RingStock&&) = delete;
    /// The rings that nobody took go with it.
    ~RingStock();

    /// A ring that is still disabled; the caller owns it, and enables it on the thread that uses it. It never
    /// comes back: a ring belongs to the thread that enabled it. Throws Error when none is left.
    io_uring take();
    std::size_t left() const;

  private:
    mutable std::mutex mutex_;
    std::vector<io_uring> rings_;
};

}  // namespace outboard
