// A packed virtqueue, the driver's end (Virtio 1.2, 2.8). Nothing here waits, throws or, after construction,
// allocates. One thread.
#pragma once

#include "outboard/base/endian.hpp"
#include "outboard/device/dma_arena.hpp"
#include "outboard/drivers/virtio/element.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace outboard::virtio {

/// struct pvirtq_desc (2.8.13). Its last four bytes are read and written in one access.
struct PackedDescriptor {
    Le64 address;
    Le32 length;
    std::uint32_t ending = 0;  ///< buffer identifier 15:0, flags 31:16; little-endian
};
static_assert(sizeof(PackedDescriptor) == 16 && offsetof(PackedDescriptor, ending) == 12);

/// The same calls as SplitRing, with the same meaning. Tokens are smaller than the size, and none is given
/// twice at a time: they are the buffers' identifiers.
class PackedRing {
  public:
    static constexpr std::size_t bytes(std::uint16_t size) noexcept {
        return sizeof(PackedDescriptor) * size + 2 * area_bytes;
    }

    /// `size` is 1 … 32768.
    PackedRing(const DmaSpan& memory, std::uint16_t size, bool event_index);

    std::uint16_t size() const noexcept { return size_; }
    RingPlaces places() const noexcept;
    void restart(bool interrupts) noexcept;
    std::uint16_t room() const noexcept { return free_; }
    void add(std::span<const Element> elements, std::uint16_t token) noexcept;
    void add_indirect(const DmaSpan& table, std::span<const Element> elements, std::uint16_t token) noexcept;
    [[nodiscard]] bool publish() noexcept;
    Taken take(Used& used) noexcept;
    [[nodiscard]] bool arm() noexcept;

  private:
    static constexpr std::size_t area_bytes = 64;

    /// A place in the ring and its wrap counter.
    struct Position {
        std::uint16_t index = 0;
        bool wrap = true;

        void advance(std::uint16_t count, std::uint16_t size) noexcept {
            index = static_cast<std::uint16_t>(index + count);
            if (index >= size) {
                index = static_cast<std::uint16_t>(index - size);
                wrap = !wrap;
            }
        }
        friend bool operator==(const Position&, const Position&) = default;
    };

    static std::uint16_t available_flags(bool wrap) noexcept;
    std::uint32_t* driver_event() const noexcept {
        return reinterpret_cast<std::uint32_t*>(memory_.address + sizeof(PackedDescriptor) * size_);
    }
    std::uint32_t* device_event() const noexcept {
        return reinterpret_cast<std::uint32_t*>(memory_.address + sizeof(PackedDescriptor) * size_ +
                                                area_bytes);
    }

    DmaSpan memory_;
    PackedDescriptor* descriptors_;
    std::uint16_t size_;
    bool event_index_;
    bool interrupts_ = true;
    /// Descriptors of the buffer with this identifier; 0: the device does not have it. The device cannot
    /// change it.
    std::vector<std::uint16_t> counts_;
    std::uint16_t free_ = 0;
    Position next_;             ///< the next to be made available
    Position used_;             ///< the next that the device uses
    std::uint16_t unseen_ = 0;  ///< descriptors since publish
    Position armed_;            ///< the event that was asked for last
};

}  // namespace outboard::virtio
