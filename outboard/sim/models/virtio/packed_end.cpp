#include "outboard/sim/models/virtio/queue_end.hpp"
#include "outboard/sim/models/virtio/registers.hpp"
#include "outboard/sim/models/virtio/ring_memory.hpp"

#include <atomic>

namespace outboard::sim::virtio {

namespace {

// Event suppression (2.8.10): offset and wrap counter, then flags.
constexpr std::uint64_t event_offset = 0;
constexpr std::uint64_t event_flags = 2;
constexpr std::uint64_t event_bytes = 4;
constexpr std::uint16_t events_on = 0;
constexpr std::uint16_t events_off = 1;
constexpr std::uint16_t events_at = 2;
constexpr std::uint16_t wrap_bit = 0x8000;

constexpr DmaRights to_read{.readable = true, .writable = false};
constexpr DmaRights to_write{.readable = false, .writable = true};
constexpr DmaRights to_both{.readable = true, .writable = true};

Descriptor read_descriptor(RingMemory& memory, std::uint64_t index) {
    const std::uint64_t at = index * descriptor_bytes;
    // The flags first: what stands before them was written before.
    const auto ending = memory.load<std::uint32_t>(at + 12);
    return {.iova = memory.load<std::uint64_t>(at),
            .length = memory.load<std::uint32_t>(at + 8),
            .flags = static_cast<std::uint16_t>(ending >> 16),
            .next_or_id = static_cast<std::uint16_t>(ending)};
}

/// A place in the ring, and which round it is.
struct Place {
    std::uint16_t index = 0;
    bool round = true;

    void go_on(unsigned steps, std::uint16_t size) noexcept {
        const unsigned next = index + steps;
        if (next >= size)
            round = !round;
        index = static_cast<std::uint16_t>(next >= size ? next - size : next);
    }
};

class PackedEnd final : public QueueEnd {
  public:
    PackedEnd(DmaMemory& dma, const QueuePlace& place)
        : dma_(dma),
          place_(place),
          ring_(dma, place.descriptors, descriptor_bytes * place.size, to_both),
          driver_(dma, place.driver_area, event_bytes, to_read),
          device_(dma, place.device_area, event_bytes, to_write) {}

    Fetched fetch(Chain& chain) override {
        Descriptor descriptor = read_descriptor(ring_, seen_.index);
        if (failed())
            return Fetched::broken;
        const bool available = (descriptor.flags & descriptor_available) != 0;
        const bool used = (descriptor.flags & descriptor_used) != 0;
        if (available != seen_.round || used == seen_.round)
            return Fetched::nothing;
        chain.clear();
        for (;;) {
            ++chain.count;
            seen_.go_on(1, place_.size);
            chain.id = descriptor.next_or_id;
            if ((descriptor.flags & descriptor_indirect) != 0) {
                if (chain.count != 1 || (descriptor.flags & descriptor_next) != 0 ||
                    !walk_table(chain, descriptor))
                    return Fetched::broken;
                break;
            }
            if (!append(chain, descriptor) || chain.count > place_.size)
                return Fetched::broken;
            if ((descriptor.flags & descriptor_next) == 0)
                break;
            descriptor = read_descriptor(ring_, seen_.index);
        }
        return failed() ? Fetched::broken : Fetched::one;
    }

    void put(const Chain& chain, std::uint32_t written, Distortion distortion) noexcept override {
        const std::uint64_t at = used_.index * descriptor_bytes;
        const std::uint16_t id = distortion == Distortion::wrong_head
                                     ? static_cast<std::uint16_t>(chain.id + place_.size)
                                     : chain.id;
        const bool round = used_.round != (distortion == Distortion::wrong_phase);
        const unsigned flags = (round ? descriptor_available | descriptor_used : 0) |
                               (written != 0 ? unsigned{descriptor_write} : 0U);
        ring_.store<std::uint32_t>(at + 8, written);
        ring_.store<std::uint32_t>(at + 12, id | static_cast<std::uint32_t>(flags) << 16);
        used_.go_on(chain.count, place_.size);
        put_ += chain.count;
    }

    bool wants_interrupt() noexcept override {
        const unsigned put = put_;
        put_ = 0;
        if (put == 0)
            return false;
        // The descriptors are there before it is read what the client wants.
        std::atomic_thread_fence(std::memory_order_seq_cst);
        const auto flags = static_cast<std::uint16_t>(driver_.load<std::uint16_t>(event_flags) & 3);
        if (flags == events_off)
            return false;
        if (flags != events_at || !place_.event_index)
            return true;
        const auto event = driver_.load<std::uint16_t>(event_offset);
        // As numbers that go on from one round to the next.
        const unsigned here = used_.index + place_.size;
        const unsigned wanted = static_cast<unsigned>(event & ~wrap_bit) +
                                (((event & wrap_bit) != 0) == used_.round ? place_.size : 0U);
        return wanted >= here - put && wanted < here;
    }

    void want_notifications(bool wanted) noexcept override {
        if (wanted && place_.event_index)
            device_.store<std::uint32_t>(
                event_offset, static_cast<std::uint32_t>(seen_.index | (seen_.round ? wrap_bit : 0)) |
                                  std::uint32_t{events_at} << 16);
        else
            device_.store<std::uint32_t>(event_offset, std::uint32_t{wanted ? events_on : events_off} << 16);
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }

    void overwrite(std::uint64_t garbage) noexcept override {
        const std::uint64_t at = used_.index * descriptor_bytes;
        ring_.store<std::uint32_t>(at + 8, static_cast<std::uint32_t>(garbage));
        ring_.store<std::uint32_t>(at + 12, static_cast<std::uint32_t>(garbage >> 32));
    }

    bool failed() const noexcept override { return ring_.failed() || driver_.failed() || device_.failed(); }

  private:
    bool walk_table(Chain& chain, const Descriptor& table) {
        const std::uint64_t entries = table.length / descriptor_bytes;
        if (!place_.indirect || table.length % descriptor_bytes != 0 || entries == 0 ||
            entries > longest_chain)
            return false;
        RingMemory memory(dma_, table.iova, table.length, to_read);
        for (std::uint64_t index = 0; index < entries; ++index)
            if (!append(chain, read_descriptor(memory, index)))
                return false;
        return !memory.failed();
    }

    DmaMemory& dma_;
    QueuePlace place_;
    RingMemory ring_;
    RingMemory driver_;
    RingMemory device_;
    Place seen_;        ///< the next to be fetched
    Place used_;        ///< where the next used one goes
    unsigned put_ = 0;  ///< descriptors since interrupts were thought of
};

}  // namespace

std::unique_ptr<QueueEnd> make_packed_end(DmaMemory& dma, const QueuePlace& place) {
    return std::make_unique<PackedEnd>(dma, place);
}

}  // namespace outboard::sim::virtio
