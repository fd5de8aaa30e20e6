#include "outboard/sim/models/virtio/device.hpp"

#include <chrono>

namespace outboard::sim::virtio {

/// What can happen to a notification. True: the queue is not looked at.
bool VirtioDevice::misses_notification() {
    if (!faults().may_strike()) [[likely]]
        return false;
    if (faults().strike(FaultKind::all_ones))
        remove();
    else if (faults().strike(FaultKind::never_ready))
        hung_ = true;
    else if (!faults().strike(FaultKind::doorbell_ignored))
        return false;
    return true;
}

void VirtioDevice::put_with_faults(unsigned index, const Chain& chain, std::uint32_t written) {
    QueueEnd& end = *queues_[index].end;
    if (faults().strike(FaultKind::completion_drop))
        return;
    if (const auto delay = faults().strike(FaultKind::completion_delay)) {
        put_later(index, chain, written, std::chrono::microseconds(delay->delay_us));
        return;
    }
    Chain told = chain;
    // One that is under way too, or any.
    if (const auto strike = faults().strike(FaultKind::wrong_identifier))
        told.id = static_cast<std::uint16_t>((strike->random & 1) != 0 ? chain.id ^ 1U : strike->random >> 1);
    Distortion distortion = Distortion::none;
    if (faults().strike(FaultKind::wrong_phase))
        distortion = Distortion::wrong_phase;
    else if (faults().strike(FaultKind::wrong_head))
        distortion = Distortion::wrong_head;
    end.put(told, written, distortion);
    if (const auto strike = faults().strike(FaultKind::queue_overwrite))
        end.overwrite(strike->random);
    if (faults().strike(FaultKind::completion_duplicate))
        end.put(told, written, Distortion::none);
}

/// A reset forgets it, as it forgets everything.
void VirtioDevice::put_later(unsigned index, const Chain& chain, std::uint32_t written, Duration delay) {
    timers().after(delay, [this, index, chain, written] {
        Queue& queue = queues_[index];
        if (!running() || !queue.end)
            return;
        queue.end->put(chain, written, Distortion::none);
        signal(queue);
    });
}

}  // namespace outboard::sim::virtio
