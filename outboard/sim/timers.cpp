#include "outboard/sim/timers.hpp"

namespace outboard::sim {

Timers::Id Timers::at(TimePoint when, std::function<void()> action) {
    due_.emplace(std::pair(when, ++last_), std::move(action));
    return last_;
}

void Timers::cancel(Id id) noexcept {
    std::erase_if(due_, [id](const auto& timer) { return timer.first.second == id; });
}

void Timers::run(TimePoint now) {
    while (!due_.empty() && due_.begin()->first.first <= now) {
        // Taken out first: the action may start and cancel timers.
        const auto timer = due_.extract(due_.begin());
        timer.mapped()();
    }
}

}  // namespace outboard::sim
