// What outboardd says to the service manager that has started it (systemd), and what that has kept for it.
// Where there is none everything here does nothing.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/runtime/clock.hpp"

#include <optional>
#include <string>
#include <vector>

namespace outboard {

/// One of the descriptors that the manager hands over.
struct NamedDescriptor {
    std::string name;
    Fd descriptor;
};

/// The other end of NOTIFY_SOCKET, which has to stay in the environment. One thread.
class ServiceManager {
  public:
    /// Takes over the descriptors that are handed to this process (LISTEN_FDS). Throws Error.
    ServiceManager();

    /// It keeps descriptors for this service: FDSTORE in the environment says how many.
    bool keeps_descriptors() const noexcept { return store_ > 0; }
    /// What it had kept, once.
    std::vector<NamedDescriptor> take_kept() noexcept { return std::move(kept_); }
    /// How often it wants to hear alive(); nothing: never.
    std::optional<Duration> watchdog() const noexcept { return watchdog_; }

    /// The service does what it is there for.
    void ready() const noexcept { say("READY=1"); }
    /// One line for people, shown with the service.
    void status(const std::string& line) const noexcept { say("STATUS=" + line); }
    void alive() const noexcept { say("WATCHDOG=1"); }
    void stopping() const noexcept { say("STOPPING=1"); }

    /// Gives it a copy to keep under a name without ':', whatever becomes of what the descriptor leads to;
    /// one that it has under another name already it does not keep again. Throws Error.
    void keep(const std::string& name, int descriptor) const;
    /// Everything of that name is closed, soon.
    void forget(const std::string& name) const;
    /// Waits until everything that was said has been done. Throws Error.
    void settle() const;

  private:
    void say(const std::string& words) const noexcept;

    unsigned store_ = 0;
    std::optional<Duration> watchdog_;
    std::vector<NamedDescriptor> kept_;
};

}  // namespace outboard
