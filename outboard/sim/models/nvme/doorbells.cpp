#include "outboard/sim/models/nvme/doorbells.hpp"

namespace outboard::sim::nvme {

void Doorbells::clear_all() noexcept {
    for (unsigned slot = 0; slot < slots(); ++slot)
        clear(slot);
}

void Doorbells::use_shadow(std::uint64_t shadow, std::uint64_t event_indices,
                           std::uint64_t page_size) noexcept {
    shadow_ = Shadow{.values = {shadow, page_size, {.readable = true, .writable = false}},
                     .event_indices = {event_indices, page_size, {.readable = false, .writable = true}}};
}

std::uint32_t Doorbells::read_shadow(unsigned slot, DmaMemory& dma) noexcept {
    if (std::byte* const bytes = shadow_->values.bytes(dma); bytes != nullptr)
        return load(bytes + place(slot));
    std::uint32_t value = 0;
    // What cannot be read gives all ones, which is no valid value.
    dma.read(shadow_->values.iova() + place(slot), std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

void Doorbells::ask_to_ring(unsigned slot, std::uint32_t value, DmaMemory& dma) noexcept {
    if (!shadow_)
        return;
    if (std::byte* const bytes = shadow_->event_indices.bytes(dma); bytes != nullptr)
        store(bytes + place(slot), value);
    else
        dma.write(shadow_->event_indices.iova() + place(slot), std::as_bytes(std::span(&value, 1)));
    // The value has to be there before the doorbell is read again, or both sides may miss each other.
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace outboard::sim::nvme
