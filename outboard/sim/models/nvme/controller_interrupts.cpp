#include "outboard/sim/models/nvme/controller.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace outboard::sim::nvme {

namespace {

/// The unit of the coalescing time (5.21.1.8).
constexpr Duration coalescing_unit = std::chrono::microseconds(100);

}  // namespace

unsigned Controller::interrupt_vectors() noexcept {
    if (config().msix_enabled())
        return description().msix.vectors;
    return config().msi_enabled() ? config().msi_vectors() : 1;
}

/// There are new completions: tells the client, at once or when there are more.
void Controller::announce(CompletionQueue& queue, unsigned posted) {
    if (!queue.interrupts)
        return;
    const std::uint32_t coalescing = state_.features.coalescing();
    const unsigned threshold = (coalescing & 0xff) + 1;
    const auto time = static_cast<unsigned>(coalescing >> 8);
    const bool first = queue.unannounced == 0;
    queue.unannounced += posted;
    if (queue.id() == 0 || time == 0 || queue.unannounced >= threshold ||
        state_.features.immediate(queue.vector)) {
        interrupt(queue);
        return;
    }
    if (first)
        timers().after(time * coalescing_unit, [this, id = queue.id()] {
            CompletionQueue* const later = state_.queues.completion(id);
            if (later != nullptr && later->unannounced != 0)
                interrupt(*later);
        });
}

void Controller::interrupt(CompletionQueue& queue) noexcept {
    queue.unannounced = 0;
    if (!interrupts().messages_enabled())
        update_line();
    else if (config().msix_enabled() || !is_masked(queue))
        interrupts().notify(queue.vector);
}

/// The line is high as long as there are completions that the client has not taken (7.5.1).
void Controller::update_line() noexcept {
    const auto wants = [this](const CompletionQueue* queue) {
        return queue->interrupts && !queue->empty() && queue->unannounced == 0 && !is_masked(*queue);
    };
    interrupts().set_line(!interrupts().messages_enabled() &&
                          std::ranges::any_of(state_.queues.completions(), wants));
}

/// INTMS and INTMC (3.1.3, 3.1.4), which MSI-X does without.
void Controller::set_interrupt_mask(std::uint32_t mask) noexcept {
    const std::uint32_t before = std::exchange(interrupt_mask_, mask);
    update_line();
    if (!config().msi_enabled())
        return;
    for (const CompletionQueue* const queue : state_.queues.completions())
        if (queue->interrupts && !queue->empty() && queue->vector < 32 &&
            ((before & ~mask) >> queue->vector & 1) != 0)
            interrupts().notify(queue->vector);
}

}  // namespace outboard::sim::nvme
