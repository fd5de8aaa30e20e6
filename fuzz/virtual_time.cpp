#include "fuzz/virtual_time.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "fuzz/require.hpp"
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <unistd.h>

namespace outboard::fuzz {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds beginning = std::chrono::hours(1);
/// Each look at the clock takes a little, so that a loop that looks without waiting comes to its deadline.
constexpr nanoseconds look_time{1000};

nanoseconds now = beginning;

std::function<bool()>& while_asleep() {
    static std::function<bool()> happens;
    return happens;
}

nanoseconds to_duration(const __kernel_timespec& time) {
    return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

bool readable(int fd) {
    pollfd watched{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&watched, 1, 0) == 1;
}

/// Sets the counter of an eventfd back; false for one that does not block, which its owner reads.
bool take_counter(int fd) {
    std::uint64_t count = 0;
    return (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0 && ::read(fd, &count, sizeof count) == sizeof count;
}

/// What the kernel has of a ring. The io_uring that a program has of it may be moved about; what both sides
/// share stays in place.
class Kernel {
  public:
    Kernel(unsigned entries, unsigned completions, io_uring& ring)
        : submissions_(2 * static_cast<std::size_t>(entries)), completions_(completions) {
        ring = {};
        ring.flags = IORING_SETUP_SQE128;
        ring.sq.khead = &sq_head_;
        ring.sq.ktail = &sq_tail_;
        ring.sq.kflags = &sq_flags_;
        ring.sq.sqes = submissions_.data();
        ring.sq.ring_mask = entries - 1;
        ring.sq.ring_entries = entries;
        ring.cq.khead = &cq_head_;
        ring.cq.ktail = &cq_tail_;
        ring.cq.cqes = completions_.data();
        ring.cq.ring_mask = completions - 1;
        ring.cq.ring_entries = completions;
    }

    bool owns(const io_uring* ring) const { return ring->sq.khead == &sq_head_; }

    int submit(const io_uring& ring) {
        int count = 0;
        for (; sq_head_ != ring.sq.sqe_tail; ++sq_head_, ++count) {
            const io_uring_sqe& entry =
                submissions_[2 * static_cast<std::size_t>(sq_head_ & ring.sq.ring_mask)];
            if (entry.opcode == IORING_OP_ASYNC_CANCEL)
                cancel(entry.addr);
            else
                pending_.push_back({.entry = entry, .was_readable = false});
        }
        sq_tail_ = sq_head_;
        deliver();
        return count;
    }

    /// Until a completion is there or `limit` is reached.
    void wait(nanoseconds limit) {
        while (cq_head_ == cq_tail_) {
            deliver();
            if (cq_head_ != cq_tail_)
                return;
            if (while_asleep() && while_asleep()())
                continue;
            const nanoseconds next = std::min(limit, next_timeout());
            require(next != nanoseconds::max(), "a wait has an end");
            now = std::max(now, next);
            deliver();
            if (next == limit)
                return;
        }
    }

  private:
    struct Pending {
        io_uring_sqe entry;
        bool was_readable;
    };

    static nanoseconds due(const io_uring_sqe& entry) {
        return to_duration(*reinterpret_cast<const __kernel_timespec*>(entry.addr));
    }

    nanoseconds next_timeout() const {
        nanoseconds next = nanoseconds::max();
        for (const Pending& pending : pending_)
            if (pending.entry.opcode == IORING_OP_TIMEOUT)
                next = std::min(next, due(pending.entry));
        return next;
    }

    /// Completes what is due, in the order it was submitted.
    void deliver() {
        for (auto it = pending_.begin(); it != pending_.end();)
            it = advance(*it) ? pending_.erase(it) : std::next(it);
    }

    /// True when the operation has ended.
    bool advance(Pending& pending) {
        const io_uring_sqe& entry = pending.entry;
        switch (entry.opcode) {
            case IORING_OP_TIMEOUT:
                if (now < due(entry))
                    return false;
                complete(entry, -ETIME);
                return true;
            case IORING_OP_READ: {
                if (!readable(entry.fd))
                    return false;
                const ssize_t count = ::read(entry.fd, reinterpret_cast<void*>(entry.addr), entry.len);
                complete(entry, count < 0 ? -errno : static_cast<int>(count));
                return true;
            }
            case IORING_OP_POLL_ADD: {
                const bool is_readable = readable(entry.fd);
                if (is_readable && !pending.was_readable)
                    complete(entry, POLLIN, IORING_CQE_F_MORE);
                // Every write to an eventfd is an event, also when nobody has read it since: a descriptor
                // that blocks is never read but here, and then the next write is seen.
                pending.was_readable = is_readable && !take_counter(entry.fd);
                return false;
            }
            default:
                require(false, "an operation is one that virtual time knows");
                return true;
        }
    }

    void cancel(std::uint64_t user_data) {
        const auto found = std::ranges::find(pending_, user_data,
                                             [](const Pending& pending) { return pending.entry.user_data; });
        if (found == pending_.end())
            return;
        complete(found->entry, -ECANCELED);
        pending_.erase(found);
    }

    void complete(const io_uring_sqe& entry, int result, unsigned flags = 0) {
        require(cq_tail_ - cq_head_ < completions_.size(), "the completion queue does not overflow");
        io_uring_cqe& completion = completions_[cq_tail_ % completions_.size()];
        completion.user_data = entry.user_data;
        completion.res = result;
        completion.flags = flags;
        ++cq_tail_;
    }

    unsigned sq_head_ = 0;
    unsigned sq_tail_ = 0;
    unsigned sq_flags_ = 0;
    unsigned cq_head_ = 0;
    unsigned cq_tail_ = 0;
    std::vector<io_uring_sqe> submissions_;
    std::vector<io_uring_cqe> completions_;
    std::list<Pending> pending_;
};

std::list<Kernel>& kernels() {
    static std::list<Kernel> all;
    return all;
}

Kernel& kernel_of(const io_uring* ring) {
    const auto found = std::ranges::find_if(kernels(), [ring](const Kernel& one) { return one.owns(ring); });
    require(found != kernels().end(), "a ring is used while it is open");
    return *found;
}

}  // namespace

void set_while_asleep(std::function<bool()> happens) {
    while_asleep() = std::move(happens);
}

void reset_time() noexcept {
    require(kernels().empty(), "no run loop lives when the clock is set back");
    now = beginning;
}

void pass_time(Duration duration) noexcept {
    now += duration;
}

}  // namespace outboard::fuzz

// ---- in place of the C++ library's clock and of liburing ----

namespace fuzz = outboard::fuzz;

// It is what it is called in the library.
std::chrono::steady_clock::time_point std::chrono::steady_clock::now() noexcept {
    fuzz::now += fuzz::look_time;
    return time_point(fuzz::now);
}

extern "C" {

int io_uring_queue_init_params(unsigned entries, io_uring* ring, io_uring_params* params) {
    fuzz::kernels().emplace_back(entries, params->cq_entries, *ring);
    return 0;
}

void io_uring_queue_exit(io_uring* ring) {
    fuzz::kernels().remove_if([ring](const fuzz::Kernel& one) { return one.owns(ring); });
}

int io_uring_register_ring_fd(io_uring* /*ring*/) {
    return 1;
}

int io_uring_submit(io_uring* ring) {
    return fuzz::kernel_of(ring).submit(*ring);
}

int io_uring_submit_and_get_events(io_uring* ring) {
    return fuzz::kernel_of(ring).submit(*ring);
}

int io_uring_get_events(io_uring* ring) {
    return fuzz::kernel_of(ring).submit(*ring);
}

int io_uring_submit_and_wait(io_uring* ring, unsigned /*count*/) {
    fuzz::Kernel& kernel = fuzz::kernel_of(ring);
    const int submitted = kernel.submit(*ring);
    kernel.wait(std::chrono::nanoseconds::max());
    return submitted;
}

int io_uring_submit_and_wait_timeout(io_uring* ring, io_uring_cqe** completion, unsigned /*count*/,
                                     __kernel_timespec* timeout, sigset_t* /*mask*/) {
    fuzz::Kernel& kernel = fuzz::kernel_of(ring);
    const int submitted = kernel.submit(*ring);
    kernel.wait(timeout != nullptr ? fuzz::now + fuzz::to_duration(*timeout)
                                   : std::chrono::nanoseconds::max());
    *completion = nullptr;
    return submitted;
}

}  // extern "C"
