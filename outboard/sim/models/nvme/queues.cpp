#include "outboard/sim/models/nvme/queues.hpp"

#include "outboard/base/bytes.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cstring>

namespace outboard::sim::nvme {

// ---- completion queue ----

Rung CompletionQueue::take_head(std::uint32_t value) noexcept {
    if (value == rung_)
        return Rung::unchanged;
    rung_ = value;
    if (value >= entries_)
        return Rung::invalid;
    const unsigned taken = value >= head_ ? value - head_ : entries_ - head_ + value;
    if (taken > used())
        return Rung::invalid;
    head_ = value;
    return Rung::moved;
}

bool CompletionQueue::post(DmaMemory& dma, std::span<CompletionEntry> entries, bool wrong_phase) noexcept {
    std::byte* const bytes = memory_.bytes(dma);
    for (CompletionEntry& entry : entries) {
        const unsigned phase = phase_ ^ (wrong_phase ? 1U : 0U);
        entry.status = static_cast<std::uint16_t>((entry.status & ~1U) | phase);
        const std::size_t place = std::size_t{tail_} * sizeof entry;
        if (bytes != nullptr) {
            const auto halves = std::bit_cast<std::array<std::uint64_t, 2>>(entry);
            auto* const there = reinterpret_cast<std::uint64_t*>(bytes + place);
            std::atomic_ref(there[0]).store(halves[0], std::memory_order_relaxed);
            // The half with the phase: who sees it sees the rest, and the data of the command.
            std::atomic_ref(there[1]).store(halves[1], std::memory_order_release);
        } else if (!dma.write(memory_.iova() + place, bytes_of(entry))) {
            return false;
        }
        if (++tail_ == entries_) {
            tail_ = 0;
            phase_ ^= 1;
        }
    }
    return true;
}

void CompletionQueue::overwrite(DmaMemory& dma, std::uint64_t garbage) noexcept {
    const std::array<std::uint64_t, 2> halves{garbage, ~garbage};
    dma.write(memory_.iova() + std::size_t{tail_} * sizeof(CompletionEntry),
              std::as_bytes(std::span(halves)));
}

// ---- submission queue ----

Rung SubmissionQueue::take_tail(std::uint32_t value) noexcept {
    if (value == rung_)
        return Rung::unchanged;
    rung_ = value;
    if (value >= entries_)
        return Rung::invalid;
    tail_ = value;
    return Rung::moved;
}

bool SubmissionQueue::fetch(DmaMemory& dma, SubmissionEntry& command) noexcept {
    const std::size_t place = std::size_t{head_} * sizeof command;
    if (const std::byte* const bytes = memory_.bytes(dma); bytes != nullptr)
        std::memcpy(&command, bytes + place, sizeof command);
    else if (!dma.read(memory_.iova() + place, std::as_writable_bytes(std::span(&command, 1))))
        return false;
    if (++head_ == entries_)
        head_ = 0;
    return true;
}

void SubmissionQueue::overwrite(DmaMemory& dma, std::uint64_t garbage) noexcept {
    std::array<std::uint64_t, sizeof(SubmissionEntry) / sizeof garbage> words{};
    words.fill(garbage);
    dma.write(memory_.iova() + std::size_t{head_} * sizeof(SubmissionEntry), std::as_bytes(std::span(words)));
}

}  // namespace outboard::sim::nvme
