#include "outboard/runtime/loop_thread.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <cstddef>
#include <system_error>
#include <utility>

#include <pthread.h>

namespace outboard {

namespace {

constexpr std::size_t longest_name = 15;  // TASK_COMM_LEN without its end

}  // namespace

LoopThread::LoopThread(Body body, LoopThreadOptions options)
    : body_(std::move(body)), options_(std::move(options)) {
    options_.name.resize(std::min(options_.name.size(), longest_name));
    try {
        thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& error) {
        throw_errno(error.code().value(), "start", "a thread (" + options_.name + ")");
    }
}

LoopThread::~LoopThread() {
    stop();
    thread_.join();
}

void LoopThread::stop() noexcept {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    if (loop_)
        loop_->stop();
}

void LoopThread::take_result() {
    const std::lock_guard lock(mutex_);
    if (failure_)
        std::rethrow_exception(failure_);
}

void LoopThread::run() noexcept {
    ::pthread_setname_np(::pthread_self(), options_.name.c_str());
    try {
        RunLoop loop(options_.loop);
        // Nobody may stop a loop that is gone.
        struct Shown {
            Shown(LoopThread& thread, RunLoop* loop) : thread_(thread) { thread_.show(loop); }
            ~Shown() { thread_.show(nullptr); }
            LoopThread& thread_;
        };
        const Shown shown(*this, &loop);
        loop.run(body_(loop));
    } catch (...) {
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
    }
    if (options_.at_end)
        options_.at_end();
}

void LoopThread::show(RunLoop* loop) noexcept {
    const std::lock_guard lock(mutex_);
    loop_ = loop;
    if (loop_ && stopped_)
        loop_->stop();
}

}  // namespace outboard
