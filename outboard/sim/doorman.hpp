// Lets one client in at a time.
#pragma once

#include "outboard/base/fd.hpp"

#include <deque>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>

namespace outboard::sim {

/// Accepts connections in a thread of its own: hands one to the server, and tells others that the device is
/// in use (EBUSY) and closes them. A client that connects after all before it have hung up waits for the
/// server instead.
class Doorman {
  public:
    /// `listener` outlives it. `log` gets a line for each client that is refused, on the thread of this
    /// object. Throws Error.
    Doorman(int listener, std::function<void(std::string_view)> log);
    Doorman(const Doorman&) = delete;
    Doorman& operator=(const Doorman&) = delete;
    Doorman(Doorman&&) = delete;
    Doorman& operator=(Doorman&&) = delete;
    ~Doorman();

    /// Becomes readable when take() has something, and for ever after stop().
    int fd() const noexcept { return event_.get(); }
    /// The next client, or none. It is the one being served until done() is called.
    Fd take();
    /// The client is gone; its socket may be closed now.
    void done();

    /// Lets nobody in any more and shuts the served client's connection down. Any thread, and
    /// async-signal-safe; it takes effect soon afterwards.
    void stop() noexcept;
    bool stopped() const;

  private:
    void run();
    void admit(Fd client);
    void refuse(Fd client);
    bool wait(int fd, int milliseconds) const noexcept;

    int listener_;
    std::function<void(std::string_view)> log_;
    Fd event_;
    Fd stop_event_;
    mutable std::mutex mutex_;  // of the three below
    std::deque<Fd> waiting_;
    int served_ = -1;
    bool stopped_ = false;
    std::jthread thread_;
};

}  // namespace outboard::sim
