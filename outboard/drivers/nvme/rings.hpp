// The two rings of a queue pair and their doorbells. Nothing here waits, allocates or throws.
#pragma once

#include "outboard/device/dma_arena.hpp"
#include "outboard/device/region.hpp"
#include "outboard/drivers/nvme/command.hpp"
#include "outboard/drivers/nvme/registers.hpp"
#include "outboard/drivers/nvme/status.hpp"

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace outboard::nvme {

/// Where a doorbell's value goes when the controller looks into memory (Base 5.8, Doorbell Buffer Config).
struct ShadowDoorbell {
    std::uint32_t* value = nullptr;        ///< written by the host; null: there is none
    std::uint32_t* event_index = nullptr;  ///< written by the controller: when it wants to be told
};

/// One doorbell, of a ring of at most 65536 entries.
class Doorbell {
  public:
    using Registers = RegisterBlock<doorbell_bytes>;

    explicit Doorbell(const Registers& registers) noexcept : registers_(registers) {}

    /// As after a reset of the controller, with or without a shadow.
    void restart(const ShadowDoorbell& shadow) noexcept {
        shadow_ = shadow;
        last_ = 0;
        if (shadow_.value)
            *shadow_.value = 0;
    }

    void ring(std::uint32_t value) noexcept {
        if (shadow_.value) {
            ring_shadow(value);
            return;
        }
        // The entries first: the controller may read them as soon as it sees the doorbell.
        std::atomic_thread_fence(std::memory_order_release);
        registers_.write(Value<DoorbellRegister>(value));
    }

    bool failed() const noexcept { return registers_.failed(); }

  private:
    void ring_shadow(std::uint32_t value) noexcept {
        const std::uint32_t old = last_;
        last_ = value;
        // The entries, then the shadow; and the shadow is seen before the event index is read: the controller
        // writes its index and then looks at the shadow once more, so one of the two sees the other.
        std::atomic_ref(*shadow_.value).store(value, std::memory_order_release);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        const std::uint32_t event = std::atomic_ref(*shadow_.event_index).load(std::memory_order_relaxed);
        // True when [old, value) holds the event index, all modulo 2^16.
        const auto passed = static_cast<std::uint16_t>(value - event - 1);
        const auto moved = static_cast<std::uint16_t>(value - old);
        if (passed < moved)
            registers_.write(Value<DoorbellRegister>(value));
    }

    // In this order what every use needs lies together.
    ShadowDoorbell shadow_;
    std::uint32_t last_ = 0;
    Registers registers_;
};

/// Entries go in at the tail. Whoever uses it keeps less commands outstanding than it has entries, so it is
/// never full.
class SubmissionRing {
  public:
    /// `memory` is entries * 64 bytes and stays.
    SubmissionRing(const DmaSpan& memory, std::uint32_t entries, const Doorbell& doorbell) noexcept
        : entries_(reinterpret_cast<SubmissionEntry*>(memory.address)),
          size_(entries),
          doorbell_(doorbell),
          iova_(memory.iova) {}

    /// Empty, as the controller has it after creation.
    void restart(const ShadowDoorbell& shadow) noexcept {
        tail_ = 0;
        doorbell_.restart(shadow);
    }
    /// The entry at the tail; the controller does not look at it before it is pushed and the doorbell rung.
    SubmissionEntry& next() const noexcept { return entries_[tail_]; }
    void push() noexcept { tail_ = tail_ + 1 == size_ ? 0 : tail_ + 1; }
    void ring() noexcept { doorbell_.ring(tail_); }

    std::uint64_t iova() const noexcept { return iova_; }
    std::uint32_t size() const noexcept { return size_; }

  private:
    SubmissionEntry* entries_;
    std::uint32_t size_;
    std::uint32_t tail_ = 0;
    Doorbell doorbell_;
    std::uint64_t iova_;
};

/// What the second half of a completion says.
class Ending {
  public:
    Ending() noexcept = default;
    explicit Ending(std::uint64_t raw) noexcept : raw_(raw) {}

    std::uint16_t submission_head() const noexcept { return static_cast<std::uint16_t>(raw_); }
    std::uint16_t submission_queue() const noexcept { return static_cast<std::uint16_t>(raw_ >> 16); }
    std::uint16_t identifier() const noexcept { return static_cast<std::uint16_t>(raw_ >> 32); }
    bool phase() const noexcept { return (raw_ >> 48 & 1) != 0; }
    /// All but the head and the phase, to be compared with `success`.
    std::uint64_t outcome() const noexcept { return raw_ & ~(std::uint64_t{1} << 48 | 0xffff); }
    /// The outcome of a command that has ended well, with nothing more to say.
    static constexpr std::uint64_t success(std::uint16_t submission_queue,
                                           std::uint16_t identifier) noexcept {
        return std::uint64_t{identifier} << 32 | std::uint64_t{submission_queue} << 16;
    }
    Status status() const noexcept { return Status(static_cast<std::uint16_t>(raw_ >> 49)); }

  private:
    std::uint64_t raw_ = 0;
};

/// Entries come out at the head.
class CompletionRing {
  public:
    /// `memory` is entries * 16 bytes and stays.
    CompletionRing(const DmaSpan& memory, std::uint32_t entries, const Doorbell& doorbell) noexcept
        : entries_(reinterpret_cast<CompletionEntry*>(memory.address)),
          size_(entries),
          doorbell_(doorbell),
          iova_(memory.iova) {}

    /// Empty: all phases are zero, and the first round is marked by one. Not while the controller has it.
    void restart(const ShadowDoorbell& shadow) noexcept {
        std::memset(static_cast<void*>(entries_), 0, std::size_t{size_} * sizeof(CompletionEntry));
        head_ = 0;
        phase_ = true;
        doorbell_.restart(shadow);
    }
    /// Takes the entry at the head if it is new. It is read once: what comes of it later changes nothing.
    bool take(Ending& ending) noexcept {
        // What the controller wrote before the phase (its data, the rest of the entry) is read after it.
        std::uint64_t raw = std::atomic_ref(entries_[head_].ending).load(std::memory_order_acquire);
        if constexpr (std::endian::native == std::endian::big)
            raw = std::bit_cast<Le64>(raw);
        ending = Ending(raw);
        if (ending.phase() != phase_)
            return false;
        if (++head_ == size_) {
            head_ = 0;
            phase_ = !phase_;
        }
        return true;
    }
    /// The command specific result in the entry taken last.
    std::uint32_t last_result() const noexcept {
        return *static_cast<const volatile std::uint32_t*>(
            reinterpret_cast<const std::uint32_t*>(&entries_[(head_ == 0 ? size_ : head_) - 1].result));
    }
    /// Gives all entries taken back to the controller.
    void ring() noexcept { doorbell_.ring(head_); }

    std::uint64_t iova() const noexcept { return iova_; }
    std::uint32_t size() const noexcept { return size_; }

  private:
    CompletionEntry* entries_;
    std::uint32_t size_;
    std::uint32_t head_ = 0;
    bool phase_ = true;
    Doorbell doorbell_;
    std::uint64_t iova_;
};

}  // namespace outboard::nvme
