// How a queue on a thread of its own keeps its hands off the device while the driver's thread resets that.
// Only an atomic state is shared; each thread takes its own steps:
//
//     running ──stop()──► stopping ──follow()──► parked ──resume()──► restarted ──follow()──► running
//        any ──lose()──► lost
//
// stop, resume and lose are the driver's thread's, follow is the queue's. While the queue is parked its rings
// are the driver's thread's.
#pragma once

#include <atomic>
#include <cstdint>

namespace outboard {

class Parking {
  public:
    /// What the queue's thread has to do now that it has taken its step.
    enum class Duty : std::uint8_t {
        none,
        tell,     ///< wake the driver's thread: the queue is parked
        restart,  ///< send again what was under way
        end,      ///< every request ends: the device is gone
    };

    // ---- the driver's thread ----

    /// A reset begins. A queue that nobody has open is parked at once, for it has no thread that would do it.
    /// One that is parked or lost stays so.
    void stop(bool is_open) noexcept {
        const State next = is_open ? State::stopping : State::parked;
        State now = state_.load(std::memory_order_acquire);
        while ((now == State::running || now == State::restarted) &&
               !state_.compare_exchange_weak(now, next, std::memory_order_acq_rel))
            continue;
    }
    bool parked() const noexcept { return state_.load(std::memory_order_acquire) == State::parked; }
    /// The rings are the device's again, and empty. Only while it is parked.
    void resume() noexcept { state_.store(State::restarted, std::memory_order_release); }
    /// The device is gone, and writes to no memory any more. For good.
    void lose() noexcept { state_.store(State::lost, std::memory_order_release); }

    // ---- any thread ----

    bool running() const noexcept { return state_.load(std::memory_order_acquire) == State::running; }
    bool lost() const noexcept { return state_.load(std::memory_order_acquire) == State::lost; }

    // ---- the queue's thread ----

    /// Takes the next step, if there is one.
    [[nodiscard]] Duty follow() noexcept {
        State now = state_.load(std::memory_order_acquire);
        switch (now) {
            case State::stopping:
                return state_.compare_exchange_strong(now, State::parked, std::memory_order_acq_rel)
                           ? Duty::tell
                           : Duty::none;
            case State::restarted:
                return state_.compare_exchange_strong(now, State::running, std::memory_order_acq_rel)
                           ? Duty::restart
                           : Duty::none;
            case State::lost:
                return Duty::end;
            case State::running:
            case State::parked:
                break;
        }
        return Duty::none;
    }

  private:
    enum class State : std::uint8_t { running, stopping, parked, restarted, lost };

    std::atomic<State> state_{State::running};
};

}  // namespace outboard
