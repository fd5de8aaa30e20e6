// A submission queue and the completion queue of the same number, in the arena.
#pragma once

#include "outboard/device/dma_arena.hpp"
#include "outboard/drivers/nvme/prp.hpp"
#include "outboard/drivers/nvme/rings.hpp"

#include <cstddef>
#include <cstdint>

namespace outboard::nvme {

struct QueuePairSetup {
    std::uint16_t id = 1;
    Doorbell tail;
    Doorbell head;
    bool interrupts = false;  ///< its completions interrupt
};

struct QueuePair {
    /// Throws Error when the arena has no room.
    QueuePair(DmaArena& arena, const QueuePairSetup& setup, std::uint32_t entries)
        : submission_memory(arena.allocate(entries * sizeof(SubmissionEntry), page_bytes)),
          completion_memory(arena.allocate(entries * sizeof(CompletionEntry), page_bytes)),
          id(setup.id),
          interrupts(setup.interrupts),
          submission(submission_memory.span(), entries, setup.tail),
          completion(completion_memory.span(), entries, setup.head) {}

    /// Empty, as the controller has it after creation.
    void restart(const ShadowDoorbell& tail, const ShadowDoorbell& head) noexcept {
        unrung = false;
        submission.restart(tail);
        completion.restart(head);
    }

    void ring_submissions() noexcept {
        if (!unrung)
            return;
        unrung = false;
        submission.ring();
    }

    DmaBuffer submission_memory;
    DmaBuffer completion_memory;
    // What submitting needs lies in one cache line, what reaping needs in another.
    alignas(64) std::uint16_t id;
    bool interrupts;
    bool unrung = false;  ///< entries were pushed since the doorbell was rung
    std::uint32_t in_flight = 0;
    SubmissionRing submission;
    alignas(64) CompletionRing completion;
};

}  // namespace outboard::nvme
