// Submission and completion queues, from the controller's end (NVM Express base specification 1.4, 4.1).
#pragma once

#include "outboard/runtime/clock.hpp"
#include "outboard/sim/client_range.hpp"
#include "outboard/sim/dma_memory.hpp"
#include "outboard/sim/models/nvme/commands.hpp"

#include <cstdint>
#include <deque>
#include <span>

namespace outboard::sim::nvme {

/// Where a queue is and how it was made.
struct QueuePlace {
    unsigned id = 0;
    std::uint64_t iova = 0;  ///< a multiple of 4096
    unsigned entries = 0;    ///< 2 … 65536
};

/// What a doorbell's new value means.
enum class Rung { unchanged, moved, invalid };

class CompletionQueue {
  public:
    /// `rung` is what its doorbell says now, which counts as zero.
    CompletionQueue(const QueuePlace& place, std::uint32_t rung) noexcept
        : id_(place.id),
          entries_(place.entries),
          rung_(rung),
          memory_(place.iova, std::uint64_t{place.entries} * sizeof(CompletionEntry),
                  {.readable = false, .writable = true}) {}

    unsigned id() const noexcept { return id_; }

    unsigned head() const noexcept { return head_; }
    /// How many completions fit. One entry always stays free.
    unsigned room() const noexcept { return entries_ - 1 - used(); }
    /// The client has taken everything.
    bool empty() const noexcept { return head_ == tail_; }

    /// The doorbell's value. An invalid one (outside the queue, or beyond what was posted) changes nothing.
    Rung take_head(std::uint32_t value) noexcept;

    /// The doorbell is another one from now on, and this is what it says: no news.
    void start_from(std::uint32_t rung) noexcept { rung_ = rung; }

    /// Posts as many as room() says at most, and sets their phases, wrongly on demand. False: the memory
    /// cannot be written.
    [[nodiscard]] bool post(DmaMemory& dma, std::span<CompletionEntry> entries,
                            bool wrong_phase = false) noexcept;

    /// Puts garbage where the next completion goes.
    void overwrite(DmaMemory& dma, std::uint64_t garbage) noexcept;

    unsigned vector = 0;
    bool interrupts = true;          ///< the client wants them
    unsigned submission_queues = 0;  ///< that complete here
    unsigned unannounced = 0;        ///< posted since the last interrupt

  private:
    unsigned used() const noexcept { return tail_ >= head_ ? tail_ - head_ : entries_ - head_ + tail_; }

    unsigned id_;
    unsigned entries_;
    unsigned head_ = 0;
    unsigned tail_ = 0;
    std::uint16_t phase_ = 1;
    std::uint32_t rung_;  ///< the doorbell's last value
    ClientRange memory_;
};

/// A command that is carried out later.
struct DelayedCommand {
    TimePoint due;
    SubmissionEntry command;
};

class SubmissionQueue {
  public:
    SubmissionQueue(const QueuePlace& place, std::uint32_t rung, CompletionQueue& completions) noexcept
        : id_(place.id),
          entries_(place.entries),
          rung_(rung),
          completions_(completions),
          memory_(place.iova, std::uint64_t{place.entries} * sizeof(SubmissionEntry),
                  {.readable = true, .writable = false}) {}

    unsigned id() const noexcept { return id_; }
    unsigned entries() const noexcept { return entries_; }
    unsigned head() const noexcept { return head_; }
    unsigned tail() const noexcept { return tail_; }
    CompletionQueue& completions() const noexcept { return completions_; }

    /// Commands that were not fetched yet.
    unsigned waiting() const noexcept { return tail_ >= head_ ? tail_ - head_ : entries_ - head_ + tail_; }

    /// The doorbell's value. An invalid one (outside the queue) changes nothing.
    Rung take_tail(std::uint32_t value) noexcept;

    /// As with completion queues.
    void start_from(std::uint32_t rung) noexcept { rung_ = rung; }
    std::uint32_t rung() const noexcept { return rung_; }

    /// The next command; there is one waiting. False: the memory cannot be read.
    [[nodiscard]] bool fetch(DmaMemory& dma, SubmissionEntry& command) noexcept;

    /// Puts garbage over the command that is fetched next.
    void overwrite(DmaMemory& dma, std::uint64_t garbage) noexcept;

    std::deque<DelayedCommand> delayed;  ///< in the order in which they are due

  private:
    unsigned id_;
    unsigned entries_;
    unsigned head_ = 0;
    unsigned tail_ = 0;
    std::uint32_t rung_;
    CompletionQueue& completions_;
    ClientRange memory_;
};

}  // namespace outboard::sim::nvme
