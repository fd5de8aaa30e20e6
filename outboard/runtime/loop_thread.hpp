// A thread with a run loop of its own, for one task.
#pragma once

#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace outboard {

struct LoopThreadOptions {
    std::string name;              ///< what the system calls the thread; at most 15 characters are kept
    RunLoopOptions loop{};         ///<
    std::function<void()> at_end;  ///< called on the thread once take_result() has what there is to take
};

/// Runs a task on a new thread, which ends with it. Made, used and destroyed by one thread; `body` and
/// everything of its task is used by the new one.
class LoopThread {
  public:
    using Body = std::function<Task<void>(RunLoop&)>;

    /// Starts. Throws Error when there is no thread to be had; that there is no ring is the task's result.
    LoopThread(Body body, LoopThreadOptions options);
    LoopThread(const LoopThread&) = delete;
    LoopThread& operator=(const LoopThread&) = delete;
    LoopThread(LoopThread&&) = delete;
    LoopThread& operator=(LoopThread&&) = delete;
    /// Cancels the task and waits for its end.
    ~LoopThread();

    /// Cancels the task; it may still end otherwise.
    void stop() noexcept;
    /// After the end: throws what the task or its loop threw, each time it is called.
    void take_result();

  private:
    void run() noexcept;
    void show(RunLoop* loop) noexcept;

    Body body_;
    LoopThreadOptions options_;
    std::mutex mutex_;  ///< guards what follows
    std::exception_ptr failure_;
    RunLoop* loop_ = nullptr;
    bool stopped_ = false;
    std::thread thread_;
};

}  // namespace outboard
