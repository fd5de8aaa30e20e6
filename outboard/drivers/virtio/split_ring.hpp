// A split virtqueue, the driver's end (Virtio 1.2, 2.7). Nothing here waits, throws or, after construction,
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

/// struct virtq_desc (2.7.5).
struct SplitDescriptor {
    Le64 address;
    Le32 length;
    Le16 flags;
    Le16 next;
};
static_assert(sizeof(SplitDescriptor) == 16);

class SplitRing {
  public:
    /// Bytes of memory for `size` descriptors.
    static constexpr std::size_t bytes(std::uint16_t size) noexcept {
        return used_offset(size) + (std::size_t{6} + std::size_t{8} * size + 63) / 64 * 64;
    }

    /// `size` is a power of two up to 32768; `memory` is bytes(size) long, aligned to 16, and stays.
    /// `event_index`: VIRTIO_F_EVENT_IDX was negotiated.
    SplitRing(const DmaSpan& memory, std::uint16_t size, bool event_index);

    std::uint16_t size() const noexcept { return size_; }
    RingPlaces places() const noexcept;

    /// Empty, as a device has it that was just reset. Not while the device has it. Without `interrupts` the
    /// device is asked not to raise any.
    void restart(bool interrupts) noexcept;

    /// Descriptors that are free: add takes one for each element, add_indirect one.
    std::uint16_t room() const noexcept { return free_count_; }

    /// Makes a buffer of at most room() elements available to the device; `token` names it until it is taken
    /// back. At the next publish() at the latest the device sees it.
    void add(std::span<const Element> elements, std::uint16_t token) noexcept;
    /// The same by a table of descriptors in `table`, 16 bytes an element, which stays until it is taken
    /// back.
    void add_indirect(const DmaSpan& table, std::span<const Element> elements, std::uint16_t token) noexcept;
    /// Shows the device what was added. True when it wants to be notified.
    [[nodiscard]] bool publish() noexcept;

    /// Takes back a buffer that the device has used.
    Taken take(Used& used) noexcept;

    /// Asks for an interrupt when the next buffer is used, as restart does; each request is good for one.
    /// True when one has been used meanwhile: look again.
    [[nodiscard]] bool arm() noexcept;

  private:
    static constexpr std::size_t available_offset(std::uint16_t size) noexcept {
        return sizeof(SplitDescriptor) * size;
    }
    static constexpr std::size_t used_offset(std::uint16_t size) noexcept {
        return available_offset(size) + (std::size_t{6} + std::size_t{2} * size + 63) / 64 * 64;
    }

    std::uint16_t take_descriptor() noexcept;
    void give_descriptor(std::uint16_t index) noexcept;
    void make_available(std::uint16_t head, std::uint16_t count, std::uint16_t token) noexcept;

    // What lies in memory, which the device may write to: flags, index, ring, event.
    std::uint16_t* available(std::size_t place) const noexcept {
        return reinterpret_cast<std::uint16_t*>(memory_.address + available_offset(size_)) + place;
    }
    std::byte* used(std::size_t offset) const noexcept {
        return memory_.address + used_offset(size_) + offset;
    }

    /// What the ring knows of its own descriptors; the device cannot change it.
    struct Own {
        std::uint16_t next = 0;   ///< in its chain
        std::uint16_t count = 0;  ///< descriptors of the chain that begins here; 0: none does
        std::uint16_t token = 0;
    };

    DmaSpan memory_;
    SplitDescriptor* descriptors_;
    std::uint16_t size_;
    bool event_index_;
    bool interrupts_ = true;
    std::vector<Own> own_;
    /// Free descriptors in the order in which they became free: a late word about an old one is noticed.
    std::vector<std::uint16_t> free_;
    std::uint16_t free_first_ = 0;
    std::uint16_t free_count_ = 0;
    std::uint16_t chains_ = 0;  ///< with the device
    std::uint16_t available_index_ = 0;
    std::uint16_t published_ = 0;
    std::uint16_t used_index_ = 0;  ///< taken until here
    std::uint16_t known_used_ = 0;  ///< the device has said so much
    std::uint16_t armed_ = 0;       ///< the event that was asked for last
};

}  // namespace outboard::virtio
