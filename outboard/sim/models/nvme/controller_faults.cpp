#include "outboard/sim/models/nvme/controller.hpp"

#include <array>
#include <chrono>

namespace outboard::sim::nvme {

namespace {

using namespace std::chrono_literals;

constexpr std::array errors{StatusCode::internal_error, StatusCode::data_transfer_error,
                            StatusCode::unrecovered_read_error, StatusCode::write_fault,
                            StatusCode::invalid_field};

}  // namespace

/// What can happen to a doorbell that was just rung. True: the queue is not served now.
bool Controller::misses_doorbell(SubmissionQueue& queue) {
    const std::uint32_t value = state_.doorbells.read(2 * queue.id(), dma());
    if (value == queue.rung())
        return false;
    if (faults().strike(FaultKind::all_ones))
        remove();
    else if (faults().strike(FaultKind::never_ready))
        hung_ = true;
    else if (faults().strike(FaultKind::doorbell_ignored))
        queue.start_from(value);
    else
        return false;
    return true;
}

/// Whether a command fails instead of being carried out.
bool Controller::strikes_command(const SubmissionQueue& queue, Outcome& outcome) {
    // An event request is no command that can fail: it waits.
    const auto strike = queue.id() == 0 ? std::nullopt : faults().strike(FaultKind::status_error);
    if (strike)
        outcome.status = errors[strike->random % errors.size()];
    return strike.has_value();
}

void Controller::post_with_faults(CompletionQueue& queue, std::span<CompletionEntry> entries) {
    unsigned posted = 0;
    const auto append = [&](CompletionEntry& entry, bool wrong_phase) {
        if (queue.room() == 0)
            return;
        if (queue.post(dma(), std::span(&entry, 1), wrong_phase))
            ++posted;
        else
            fail();
    };
    for (CompletionEntry& entry : entries) {
        if (faults().strike(FaultKind::completion_drop))
            continue;
        if (const auto delay = faults().strike(FaultKind::completion_delay)) {
            post_later(queue.id(), entry, std::chrono::microseconds(delay->delay_us));
            continue;
        }
        // Of a command that is under way too, or of none at all.
        if (const auto strike = faults().strike(FaultKind::wrong_identifier))
            entry.identifier = static_cast<std::uint16_t>((strike->random & 1) != 0 ? entry.identifier ^ 1U
                                                                                    : strike->random >> 1);
        if (const auto strike = faults().strike(FaultKind::wrong_head))
            entry.submission_head = static_cast<std::uint16_t>(strike->random | 0x8000);
        append(entry, faults().strike(FaultKind::wrong_phase).has_value());
        if (const auto strike = faults().strike(FaultKind::queue_overwrite))
            overwrite_queue(queue, strike->random);
        if (faults().strike(FaultKind::completion_duplicate))
            append(entry, false);
    }
    if (posted != 0)
        announce(queue, posted);
}

/// A reset forgets it, as it forgets everything.
void Controller::post_later(unsigned queue, const CompletionEntry& entry, Duration delay) {
    timers().after(delay, [this, queue, entry] {
        CompletionQueue* const completions = running() ? state_.queues.completion(queue) : nullptr;
        if (completions == nullptr)
            return;
        if (completions->room() == 0) {
            post_later(queue, entry, 100us);
            return;
        }
        CompletionEntry late = entry;
        post(*completions, std::span(&late, 1));
    });
}

void Controller::overwrite_queue(CompletionQueue& queue, std::uint64_t random) {
    for (SubmissionQueue* const submissions : state_.queues.submissions())
        if ((random & 1) != 0 && &submissions->completions() == &queue && submissions->waiting() != 0) {
            submissions->overwrite(dma(), random);
            return;
        }
    queue.overwrite(dma(), random);
}

}  // namespace outboard::sim::nvme
