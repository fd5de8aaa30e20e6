#include "outboard/sim/models/nvme/queue_set.hpp"

namespace outboard::sim::nvme {

/// What the doorbell says from then on; a shadow is the client's, and stays as it is.
std::uint32_t QueueSet::reset_doorbell(unsigned slot) noexcept {
    doorbells_.clear(slot);
    return doorbells_.read(slot, dma_);
}

CompletionQueue& QueueSet::add_completion(const QueuePlace& place) {
    auto& queue = completions_[place.id];
    queue = std::make_unique<CompletionQueue>(place, reset_doorbell(2 * place.id + 1));
    active_completions_.push_back(queue.get());
    return *queue;
}

SubmissionQueue& QueueSet::add_submission(const QueuePlace& place, CompletionQueue& completions) {
    auto& queue = submissions_[place.id];
    queue = std::make_unique<SubmissionQueue>(place, reset_doorbell(2 * place.id), completions);
    active_submissions_.push_back(queue.get());
    ++completions.submission_queues;
    return *queue;
}

void QueueSet::remove_completion(unsigned id) {
    std::erase(active_completions_, completions_[id].get());
    completions_[id].reset();
    doorbells_.clear(2 * id + 1);
}

void QueueSet::remove_submission(unsigned id) {
    --submissions_[id]->completions().submission_queues;
    std::erase(active_submissions_, submissions_[id].get());
    submissions_[id].reset();
    doorbells_.clear(2 * id);
}

void QueueSet::clear() {
    active_submissions_.clear();
    active_completions_.clear();
    for (auto& queue : submissions_)
        queue.reset();
    for (auto& queue : completions_)
        queue.reset();
    doorbells_.clear_all();
}

void QueueSet::begin_shadow() noexcept {
    for (CompletionQueue* const queue : active_completions_)
        queue->start_from(doorbells_.read(2 * queue->id() + 1, dma_));
    for (SubmissionQueue* const queue : active_submissions_)
        queue->start_from(doorbells_.read(2 * queue->id(), dma_));
}

}  // namespace outboard::sim::nvme
