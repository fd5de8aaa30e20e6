// All queues of a controller, by identifier.
#pragma once

#include "outboard/sim/models/nvme/doorbells.hpp"
#include "outboard/sim/models/nvme/queues.hpp"

#include <memory>
#include <span>
#include <vector>

namespace outboard::sim::nvme {

/// Identifiers are 0 (admin) … the number of I/O queue pairs. A queue's doorbell starts at zero.
class QueueSet {
  public:
    /// `doorbells` and `dma` outlive it.
    QueueSet(Doorbells& doorbells, DmaMemory& dma, unsigned io_queue_pairs)
        : doorbells_(doorbells),
          dma_(dma),
          completions_(io_queue_pairs + 1),
          submissions_(io_queue_pairs + 1) {}

    /// Null when there is none.
    CompletionQueue* completion(unsigned id) const noexcept {
        return id < completions_.size() ? completions_[id].get() : nullptr;
    }
    SubmissionQueue* submission(unsigned id) const noexcept {
        return id < submissions_.size() ? submissions_[id].get() : nullptr;
    }
    /// Those that exist; a change of the set changes them.
    std::span<CompletionQueue* const> completions() const noexcept { return active_completions_; }
    std::span<SubmissionQueue* const> submissions() const noexcept { return active_submissions_; }
    /// There is one besides the admin queues.
    bool has_io_queues() const noexcept { return active_completions_.size() > 1; }

    /// `place.id` is free.
    CompletionQueue& add_completion(const QueuePlace& place);
    SubmissionQueue& add_submission(const QueuePlace& place, CompletionQueue& completions);
    /// The queue exists, and a completion queue has no submission queues any more.
    void remove_completion(unsigned id);
    void remove_submission(unsigned id);
    void clear();
    /// Shadow doorbells have come into use: what they say now counts as seen.
    void begin_shadow() noexcept;

  private:
    std::uint32_t reset_doorbell(unsigned slot) noexcept;

    Doorbells& doorbells_;
    DmaMemory& dma_;
    std::vector<std::unique_ptr<CompletionQueue>> completions_;
    std::vector<std::unique_ptr<SubmissionQueue>> submissions_;
    std::vector<CompletionQueue*> active_completions_;
    std::vector<SubmissionQueue*> active_submissions_;
};

}  // namespace outboard::sim::nvme
