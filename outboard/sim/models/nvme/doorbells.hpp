// Doorbells (NVM Express base specification 1.4, 3.1.24 and 3.1.25) in the memory that client and controller
// share, and their shadows in the client's own memory (5.7 and 7.13).
#pragma once

#include "outboard/sim/client_range.hpp"
#include "outboard/sim/dma_memory.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace outboard::sim::nvme {

/// Doorbells by slot: 2 * queue for a submission queue's tail, one more for a completion queue's head.
class Doorbells {
  public:
    /// `memory` is that of the doorbells, whole, and outlives this; one comes every `4 << stride` bytes.
    Doorbells(std::span<std::byte> memory, unsigned stride) noexcept : memory_(memory), stride_(stride) {}

    unsigned slots() const noexcept { return static_cast<unsigned>(memory_.size() >> (2 + stride_)); }

    /// What the client last rang. What it wrote before that is visible afterwards.
    std::uint32_t read(unsigned slot, DmaMemory& dma) noexcept {
        if (shadow_ && slot > last_admin_slot)
            return read_shadow(slot, dma);
        return load(memory_.data() + place(slot));
    }

    /// Sets a doorbell of the shared memory back to zero.
    void clear(unsigned slot) noexcept { store(memory_.data() + place(slot), 0); }
    void clear_all() noexcept;

    /// What was written to a doorbell of the shared memory.
    std::uint32_t rung(unsigned slot) const noexcept { return load(memory_.data() + place(slot)); }

    /// Two pages of the client's: shadow doorbells, and the values that the client has to ring at. The admin
    /// queue keeps its doorbells: drivers differ in what they do with its shadows.
    void use_shadow(std::uint64_t shadow, std::uint64_t event_indices, std::uint64_t page_size) noexcept;
    void drop_shadow() noexcept { shadow_.reset(); }
    bool has_shadow() const noexcept { return shadow_.has_value(); }
    /// The client shall ring when it goes beyond `value`. Read the doorbell again afterwards.
    void ask_to_ring(unsigned slot, std::uint32_t value, DmaMemory& dma) noexcept;

  private:
    struct Shadow {
        ClientRange values;
        ClientRange event_indices;
    };

    std::size_t place(unsigned slot) const noexcept { return std::size_t{slot} << (2 + stride_); }
    std::uint32_t read_shadow(unsigned slot, DmaMemory& dma) noexcept;

    static std::uint32_t load(std::byte* at) noexcept {
        return std::atomic_ref(*reinterpret_cast<std::uint32_t*>(at)).load(std::memory_order_acquire);
    }
    static void store(std::byte* at, std::uint32_t value) noexcept {
        std::atomic_ref(*reinterpret_cast<std::uint32_t*>(at)).store(value, std::memory_order_release);
    }

    static constexpr unsigned last_admin_slot = 1;

    std::span<std::byte> memory_;
    unsigned stride_;
    std::optional<Shadow> shadow_;
};

}  // namespace outboard::sim::nvme
