#include "outboard/export/ublk/control_thread.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <sys/eventfd.h>

namespace outboard::ublk {

namespace {

Task<int> issue(RunLoop& loop, int control, std::uint32_t operation, const ControlCommand& command) {
    const auto fill = [&](io_uring_sqe* entry) {
        io_uring_prep_rw(IORING_OP_URING_CMD, entry, control, nullptr, 0, 0);
        entry->cmd_op = operation;
        std::memcpy(entry->cmd, &command, sizeof command);
    };
    co_return co_await loop.submit(fill);
}

}  // namespace

ControlThread::ControlThread(int control, std::uint32_t operation, const ControlCommand& command)
    : control_(control), operation_(operation), command_(command), ended_(::eventfd(0, EFD_CLOEXEC)) {
    if (!ended_)
        throw_errno(errno, "make", "an eventfd for a ublk command");
    try {
        thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& error) {
        throw_errno(error.code().value(), "start", "a thread for a ublk command");
    }
}

ControlThread::~ControlThread() {
    cancel();
    thread_.join();
}

void ControlThread::cancel() noexcept {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (loop_)
        loop_->stop();
}

int ControlThread::take_result() {
    // The thread wrote them with the lock held; its eventfd orders nothing that the language knows of.
    const std::lock_guard lock(mutex_);
    if (failure_)
        std::rethrow_exception(std::exchange(failure_, nullptr));
    return result_;
}

void ControlThread::run() noexcept {
    try {
        perform();
    } catch (...) {
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
    }
    ::eventfd_write(ended_.get(), 1);
}

void ControlThread::perform() {
    RunLoop loop({.entries = 8});
    // Nobody may stop a loop that is gone.
    struct Shown {
        explicit Shown(ControlThread& thread, RunLoop* loop) : thread_(thread) { thread_.show(loop); }
        ~Shown() { thread_.show(nullptr); }
        ControlThread& thread_;
    };
    const Shown shown(*this, &loop);
    const int result = loop.run(issue(loop, control_, operation_, command_));
    const std::lock_guard lock(mutex_);
    result_ = result;
}

void ControlThread::show(RunLoop* loop) noexcept {
    const std::lock_guard lock(mutex_);
    loop_ = loop;
    if (loop_ && cancelled_)
        loop_->stop();
}

}  // namespace outboard::ublk
