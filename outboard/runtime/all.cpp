#include "outboard/runtime/all.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

#include <sys/eventfd.h>

namespace outboard {

namespace {

/// What the tasks and the one who waits for them have in common.
struct Together {
    std::size_t running = 0;
    std::exception_ptr failure;  ///< the first
    Fd changed{::eventfd(0, EFD_CLOEXEC)};

    void tell() const { ::eventfd_write(changed.get(), 1); }
};

Task<void> run_one(Task<void> task, Together& together) {
    std::exception_ptr failure;
    try {
        co_await std::move(task);
    } catch (...) {
        failure = std::current_exception();
    }
    const bool first = failure && !together.failure;
    if (first)
        together.failure = failure;
    // Whoever waits is woken by the loop: it may destroy this coroutine.
    if (--together.running == 0 || first)
        together.tell();
}

}  // namespace

Task<void> all(RunLoop& loop, std::vector<Task<void>> tasks) {
    Together together;
    if (!together.changed)
        throw_errno(errno, "create", "an eventfd for tasks");
    together.running = tasks.size();
    std::vector<Task<void>> started;
    started.reserve(tasks.size());
    for (Task<void>& task : tasks) {
        started.push_back(run_one(std::move(task), together));
        started.back().start();
    }
    bool cancelled = false;
    bool told = false;
    while (together.running != 0) {
        try {
            std::uint64_t count = 0;
            co_await loop.event(together.changed.get(), count);
        } catch (const Cancelled&) {
            cancelled = true;
        }
        if ((cancelled || together.failure) && !told) {
            told = true;
            for (const Task<void>& task : started)
                if (!task.promise().finished())
                    task.promise().cancel();
        }
    }
    if (cancelled)
        throw Cancelled();
    if (together.failure)
        std::rethrow_exception(together.failure);
}

}  // namespace outboard
