// A virtqueue: a ring of either sort, its memory, and where its notifications go. Nothing here waits, throws
// or, after construction, allocates. One thread at a time.
#pragma once

#include "outboard/device/dma_arena.hpp"
#include "outboard/device/region.hpp"
#include "outboard/drivers/virtio/element.hpp"
#include "outboard/drivers/virtio/features.hpp"
#include "outboard/drivers/virtio/packed_ring.hpp"
#include "outboard/drivers/virtio/registers.hpp"
#include "outboard/drivers/virtio/split_ring.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

namespace outboard::virtio {

class Virtqueue {
    using Ring = std::variant<SplitRing, PackedRing>;

    template <class Action>
    decltype(auto) on_ring(Action action) noexcept {
        if (auto* const split = std::get_if<SplitRing>(&ring_))
            return action(*split);
        return action(*std::get_if<PackedRing>(&ring_));
    }
    template <class Action>
    decltype(auto) on_ring(Action action) const noexcept {
        if (const auto* const split = std::get_if<SplitRing>(&ring_))
            return action(*split);
        return action(*std::get_if<PackedRing>(&ring_));
    }

  public:
    using Notifier = RegisterBlock<notification_bytes>;

    /// Bytes of the arena that a queue of `size` descriptors takes at most.
    static constexpr std::size_t dma_bytes(std::uint16_t size) noexcept {
        return SplitRing::bytes(size) > PackedRing::bytes(size) ? SplitRing::bytes(size)
                                                                : PackedRing::bytes(size);
    }
    /// Bytes of a table of descriptors for `elements` elements.
    static constexpr std::size_t table_bytes(std::size_t elements) noexcept {
        return elements * sizeof(SplitDescriptor);
    }
    static_assert(sizeof(SplitDescriptor) == sizeof(PackedDescriptor));

    /// `features` are those that were negotiated. Throws Error when the arena has no room.
    Virtqueue(DmaArena& arena, std::uint16_t index, std::uint16_t size, Features features,
              const Notifier& notifier)
        : memory_(arena.allocate(dma_bytes(size), 4096)),
          index_(index),
          indirect_(has(features, feature::indirect_descriptors)),
          ring_(make_ring(memory_.span(), size, features)),
          notifier_(notifier) {}

    std::uint16_t index() const noexcept { return index_; }
    std::uint16_t size() const noexcept {
        return on_ring([](const auto& ring) { return ring.size(); });
    }
    RingPlaces places() const noexcept {
        return on_ring([](const auto& ring) { return ring.places(); });
    }
    /// Buffers may be described by tables.
    bool indirect() const noexcept { return indirect_; }

    // As of SplitRing; `table` is room for a table of the elements, used where buffers may be described so.

    void restart(bool interrupts) noexcept {
        on_ring([&](auto& ring) { ring.restart(interrupts); });
    }
    bool has_room(std::size_t elements) const noexcept {
        return on_ring([](const auto& ring) { return ring.room(); }) >= (indirect_ ? 1 : elements);
    }
    void add(std::span<const Element> elements, const DmaSpan& table, std::uint16_t token) noexcept {
        on_ring([&](auto& ring) {
            if (indirect_)
                ring.add_indirect(table, elements, token);
            else
                ring.add(elements, token);
        });
    }
    /// Shows the device what was added, and notifies it if it wants that.
    void publish() noexcept {
        if (on_ring([](auto& ring) { return ring.publish(); }))
            notifier_.write(Value<Notification>(index_));
    }
    Taken take(Used& used) noexcept {
        return on_ring([&](auto& ring) { return ring.take(used); });
    }
    [[nodiscard]] bool arm() noexcept {
        return on_ring([](auto& ring) { return ring.arm(); });
    }

  private:
    static Ring make_ring(const DmaSpan& memory, std::uint16_t size, Features features) {
        const bool event_index = has(features, feature::event_index);
        if (has(features, feature::packed_ring))
            return PackedRing(memory, size, event_index);
        return SplitRing(memory, size, event_index);
    }

    DmaBuffer memory_;
    std::uint16_t index_;
    bool indirect_;
    Ring ring_;
    Notifier notifier_;
};

}  // namespace outboard::virtio
