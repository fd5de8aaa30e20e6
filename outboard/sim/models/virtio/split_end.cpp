#include "outboard/sim/models/virtio/queue_end.hpp"
#include "outboard/sim/models/virtio/registers.hpp"
#include "outboard/sim/models/virtio/ring_memory.hpp"

#include <atomic>

namespace outboard::sim::virtio {

namespace {

// Offsets (2.7.6, 2.7.8): flags, index, ring, and the other side's event behind it.
constexpr std::uint64_t flags_offset = 0;
constexpr std::uint64_t index_offset = 2;
constexpr std::uint64_t ring_offset = 4;
constexpr std::uint64_t used_entry_bytes = 8;

constexpr std::uint16_t available_no_interrupt = 1;
constexpr std::uint16_t used_no_notify = 1;

constexpr DmaRights to_read{.readable = true, .writable = false};
constexpr DmaRights to_write{.readable = false, .writable = true};

Descriptor read_descriptor(RingMemory& memory, std::uint64_t index) {
    const std::uint64_t at = index * descriptor_bytes;
    return {.iova = memory.load<std::uint64_t>(at),
            .length = memory.load<std::uint32_t>(at + 8),
            .flags = memory.load<std::uint16_t>(at + 12),
            .next_or_id = memory.load<std::uint16_t>(at + 14)};
}

class SplitEnd final : public QueueEnd {
  public:
    SplitEnd(DmaMemory& dma, const QueuePlace& place)
        : dma_(dma),
          place_(place),
          descriptors_(dma, place.descriptors, descriptor_bytes * place.size, to_read),
          available_(dma, place.driver_area, ring_offset + std::uint64_t{2} * place.size + 2, to_read),
          used_(dma, place.device_area, ring_offset + used_entry_bytes * place.size + 2, to_write) {}

    Fetched fetch(Chain& chain) override {
        const auto index = available_.load<std::uint16_t>(index_offset);
        if (failed())
            return Fetched::broken;
        if (index == seen_)
            return Fetched::nothing;
        // No more than the queue has.
        if (static_cast<std::uint16_t>(index - seen_) > place_.size)
            return Fetched::broken;
        chain.clear();
        chain.id = available_.load<std::uint16_t>(ring_offset + std::uint64_t{2} * (seen_ % place_.size));
        chain.count = 1;
        ++seen_;
        return walk(chain) && !failed() ? Fetched::one : Fetched::broken;
    }

    void put(const Chain& chain, std::uint32_t written, Distortion distortion) noexcept override {
        const std::uint64_t entry = ring_offset + used_entry_bytes * (used_index_ % place_.size);
        used_.store<std::uint32_t>(entry, chain.id);
        used_.store<std::uint32_t>(entry + 4, written);
        ++used_index_;
        // Looks old: the index follows with the next one. Or points to where nothing can be, from now on.
        if (distortion == Distortion::wrong_phase)
            return;
        if (distortion == Distortion::wrong_head)
            index_error_ = 0x4000;
        used_.store<std::uint16_t>(index_offset, static_cast<std::uint16_t>(used_index_ + index_error_));
    }

    bool wants_interrupt() noexcept override {
        const std::uint16_t before = told_;
        told_ = used_index_;
        if (before == used_index_)
            return false;
        // The index is there before it is read what the client wants.
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (place_.event_index)
            return crosses(before, used_index_,
                           available_.load<std::uint16_t>(ring_offset + std::uint64_t{2} * place_.size));
        return (available_.load<std::uint16_t>(flags_offset) & available_no_interrupt) == 0;
    }

    void want_notifications(bool wanted) noexcept override {
        if (!place_.event_index)
            used_.store<std::uint16_t>(flags_offset, wanted ? 0 : used_no_notify);
        else if (wanted)
            used_.store<std::uint16_t>(ring_offset + used_entry_bytes * place_.size, seen_);
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }

    void overwrite(std::uint64_t garbage) noexcept override {
        const std::uint64_t entry = ring_offset + used_entry_bytes * (used_index_ % place_.size);
        used_.store<std::uint32_t>(entry, static_cast<std::uint32_t>(garbage));
        used_.store<std::uint16_t>(index_offset, static_cast<std::uint16_t>(garbage >> 32));
    }

    bool failed() const noexcept override {
        return descriptors_.failed() || available_.failed() || used_.failed();
    }

  private:
    bool walk(Chain& chain) {
        std::uint16_t index = chain.id;
        for (unsigned steps = 0; steps < place_.size; ++steps) {
            if (index >= place_.size)
                return false;
            const Descriptor descriptor = read_descriptor(descriptors_, index);
            if ((descriptor.flags & descriptor_indirect) != 0)
                return (descriptor.flags & descriptor_next) == 0 && walk_table(chain, descriptor);
            if (!append(chain, descriptor))
                return false;
            if ((descriptor.flags & descriptor_next) == 0)
                return true;
            index = descriptor.next_or_id;
        }
        return false;
    }

    bool walk_table(Chain& chain, const Descriptor& table) {
        const std::uint64_t entries = table.length / descriptor_bytes;
        if (!place_.indirect || table.length % descriptor_bytes != 0 || entries == 0 ||
            entries > longest_chain)
            return false;
        RingMemory memory(dma_, table.iova, table.length, to_read);
        std::uint64_t index = 0;
        for (std::uint64_t steps = 0; steps < entries; ++steps) {
            const Descriptor descriptor = read_descriptor(memory, index);
            if ((descriptor.flags & descriptor_indirect) != 0 || !append(chain, descriptor))
                return false;
            if ((descriptor.flags & descriptor_next) == 0)
                return !memory.failed();
            index = descriptor.next_or_id;
            if (index >= entries)
                return false;
        }
        return false;
    }

    DmaMemory& dma_;
    QueuePlace place_;
    RingMemory descriptors_;
    RingMemory available_;
    RingMemory used_;
    std::uint16_t seen_ = 0;  ///< of what is available
    std::uint16_t used_index_ = 0;
    std::uint16_t index_error_ = 0;  ///< a fault: the client is told so much more
    std::uint16_t told_ = 0;         ///< used until here when interrupts were thought of
};

}  // namespace

std::unique_ptr<QueueEnd> make_split_end(DmaMemory& dma, const QueuePlace& place) {
    return std::make_unique<SplitEnd>(dma, place);
}

bool append(Chain& chain, const Descriptor& descriptor) {
    const Part part{.iova = descriptor.iova, .length = descriptor.length};
    if (chain.readable.size() + chain.writable.size() == longest_chain)
        return false;
    if ((descriptor.flags & descriptor_write) != 0) {
        chain.writable.push_back(part);
        return true;
    }
    chain.readable.push_back(part);
    return chain.writable.empty();
}

}  // namespace outboard::sim::virtio
