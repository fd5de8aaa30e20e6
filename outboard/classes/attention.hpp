// How the queues of a device, each on a thread of its own, reach the thread of its driver: a bell and a
// letter box. For errors only; requests that go well never come here.
#pragma once

#include "outboard/base/fd.hpp"

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace outboard {

/// Made on the driver's thread, on which `report` is called. Throws Error when there is no eventfd.
class Attention {
  public:
    explicit Attention(std::function<void(std::string_view)> report);

    /// Rings the bell. Any thread.
    void wake() noexcept;
    /// Reports a line: at once on the driver's thread, later from another one. Any thread.
    void tell(std::string_view text) noexcept;
    /// The same for a text that has to be made: nothing is, where nobody listens.
    template <class Make>
    void tell_made(Make&& make) noexcept {
        if (!report_)
            return;
        try {
            tell(std::forward<Make>(make)());
        } catch (const std::exception&) {
            // The text could not be made; the request's status says what matters.
            return;
        }
    }

    // ---- the driver's thread ----

    /// Reports what other threads have told.
    void deliver() noexcept;
    /// Becomes readable when the bell rings.
    int eventfd() const noexcept { return bell_.get(); }

  private:
    void report(std::string_view text) noexcept;

    std::function<void(std::string_view)> report_;
    std::thread::id thread_ = std::this_thread::get_id();
    Fd bell_;
    std::mutex mutex_;
    std::vector<std::string> lines_;
};

}  // namespace outboard
