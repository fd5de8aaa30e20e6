// One control command of ublk on a thread and a ring of its own.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/export/ublk/uapi.hpp"

#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>

namespace outboard {
class RunLoop;
}

namespace outboard::ublk {

/// The kernel hands these commands to a worker of the submitting thread, and keeps that worker for as long as
/// the thread lives: it wakes every 5 seconds and looks for more. On a thread that goes with its command it
/// goes too, and a disk that nobody uses costs nothing.
class ControlThread {
  public:
    /// Starts the command on `control` (the descriptor of /dev/ublk-control). What it points to outlives this
    /// object. Throws Error when there is no descriptor or thread to be had.
    ControlThread(int control, std::uint32_t operation, const ControlCommand& command);
    ControlThread(const ControlThread&) = delete;
    ControlThread& operator=(const ControlThread&) = delete;
    ControlThread(ControlThread&&) = delete;
    ControlThread& operator=(ControlThread&&) = delete;
    /// Cancels the command and waits for its end.
    ~ControlThread();

    /// An eventfd that fires once, at the command's end.
    int ended() const noexcept { return ended_.get(); }
    /// Asks the kernel to give the command up; it may still end otherwise.
    void cancel() noexcept;
    /// After ended() has fired: 0 or more, or a negative errno value. Throws Cancelled when it was given up,
    /// and Error when the thread got no ring.
    int take_result();

  private:
    void run() noexcept;
    void perform();
    void show(RunLoop* loop) noexcept;

    int control_;
    std::uint32_t operation_;
    ControlCommand command_;
    Fd ended_;
    std::mutex mutex_;  ///< guards what follows
    int result_ = 0;
    std::exception_ptr failure_;
    RunLoop* loop_ = nullptr;
    bool cancelled_ = false;
    std::thread thread_;
};

}  // namespace outboard::ublk
