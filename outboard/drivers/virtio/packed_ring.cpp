#include "outboard/drivers/virtio/packed_ring.hpp"

#include "outboard/drivers/virtio/shared_word.hpp"

#include <atomic>
#include <cstring>

namespace outboard::virtio {

namespace {

constexpr std::uint16_t flag_next = 1;             // VIRTQ_DESC_F_NEXT
constexpr std::uint16_t flag_write = 2;            // VIRTQ_DESC_F_WRITE
constexpr std::uint16_t flag_indirect = 4;         // VIRTQ_DESC_F_INDIRECT
constexpr std::uint16_t flag_available = 1U << 7;  // VIRTQ_DESC_F_AVAIL
constexpr std::uint16_t flag_used = 1U << 15;      // VIRTQ_DESC_F_USED

// Event suppression (2.8.14): place 14:0 and wrap counter 15, flags 17:16.
constexpr std::uint32_t events_disabled = 1U << 16;  // RING_EVENT_FLAGS_DISABLE
constexpr std::uint32_t events_at_place = 2U << 16;  // RING_EVENT_FLAGS_DESC
constexpr std::uint32_t events_mask = 3U << 16;
constexpr std::uint32_t event_place = 0x7fff;
constexpr std::uint32_t event_wrap = 0x8000;

constexpr std::uint32_t ending(std::uint16_t identifier, unsigned flags) {
    return identifier | static_cast<std::uint32_t>(flags) << 16;
}

}  // namespace

PackedRing::PackedRing(const DmaSpan& memory, std::uint16_t size, bool event_index)
    : memory_(memory),
      descriptors_(reinterpret_cast<PackedDescriptor*>(memory.address)),
      size_(size),
      event_index_(event_index),
      counts_(size) {
    restart(true);
}

RingPlaces PackedRing::places() const noexcept {
    const std::uint64_t driver = memory_.iova + sizeof(PackedDescriptor) * size_;
    return {.descriptors = memory_.iova, .driver_area = driver, .device_area = driver + area_bytes};
}

void PackedRing::restart(bool interrupts) noexcept {
    std::memset(memory_.address, 0, bytes(size_));
    counts_.assign(size_, 0);
    free_ = size_;
    next_ = {};
    used_ = {};
    unseen_ = 0;
    interrupts_ = interrupts;
    armed_ = {};
    if (!interrupts)
        store_word(driver_event(), events_disabled, std::memory_order_relaxed);
    else if (event_index_)
        store_word(driver_event(), events_at_place | event_wrap, std::memory_order_relaxed);
}

std::uint16_t PackedRing::available_flags(bool wrap) noexcept {
    return wrap ? flag_available : flag_used;
}

void PackedRing::add(std::span<const Element> elements, std::uint16_t token) noexcept {
    const Position first = next_;
    std::uint32_t first_ending = 0;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        PackedDescriptor& descriptor = descriptors_[next_.index];
        descriptor.address = elements[i].iova;
        descriptor.length = elements[i].length;
        const unsigned flags = available_flags(next_.wrap) | (elements[i].device_writes ? flag_write : 0U) |
                               (i + 1 == elements.size() ? 0U : flag_next);
        if (i == 0)
            first_ending = ending(token, flags);
        else
            store_word(&descriptor.ending, ending(token, flags), std::memory_order_relaxed);
        next_.advance(1, size_);
    }
    // The rest of the chain first: the device reads it as soon as it sees the flags of the first descriptor.
    store_word(&descriptors_[first.index].ending, first_ending, std::memory_order_release);
    const auto count = static_cast<std::uint16_t>(elements.size());
    counts_[token] = count;
    free_ = static_cast<std::uint16_t>(free_ - count);
    unseen_ = static_cast<std::uint16_t>(unseen_ + count);
}

void PackedRing::add_indirect(const DmaSpan& table, std::span<const Element> elements,
                              std::uint16_t token) noexcept {
    auto* const entries = reinterpret_cast<PackedDescriptor*>(table.address);
    for (std::size_t i = 0; i < elements.size(); ++i) {
        entries[i].address = elements[i].iova;
        entries[i].length = elements[i].length;
        store_word(&entries[i].ending, ending(0, elements[i].device_writes ? flag_write : 0U),
                   std::memory_order_relaxed);
    }
    PackedDescriptor& descriptor = descriptors_[next_.index];
    descriptor.address = table.iova;
    descriptor.length = static_cast<std::uint32_t>(elements.size() * sizeof(PackedDescriptor));
    // The table and the descriptor first, as above.
    store_word(&descriptor.ending, ending(token, available_flags(next_.wrap) | flag_indirect),
               std::memory_order_release);
    next_.advance(1, size_);
    counts_[token] = 1;
    --free_;
    ++unseen_;
}

bool PackedRing::publish() noexcept {
    const std::uint16_t count = unseen_;
    if (count == 0)
        return false;
    unseen_ = 0;
    // The descriptors are seen before it is read whether the device wants to know: the device says that it
    // does and then looks at the ring once more, so one of the two sees the other.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const auto event = load_word<std::uint32_t>(device_event(), std::memory_order_relaxed);
    if ((event & events_mask) == events_disabled)
        return false;
    if ((event & events_mask) != events_at_place || !event_index_)
        return true;
    // Places are counted from the beginning of the round in which the ring is now.
    auto place = static_cast<std::uint16_t>(event & event_place);
    if (((event & event_wrap) != 0) != next_.wrap)
        place = static_cast<std::uint16_t>(place - size_);
    return passed(place, static_cast<std::uint16_t>(next_.index - count), next_.index);
}

Taken PackedRing::take(Used& result) noexcept {
    const PackedDescriptor& descriptor = descriptors_[used_.index];
    // What the device wrote before the flags (the length, the data) is read after them; identifier and flags
    // are read once, together.
    const auto ending = load_word<std::uint32_t>(&descriptor.ending, std::memory_order_acquire);
    const unsigned flags = ending >> 16;
    const bool available = (flags & flag_available) != 0;
    const bool used = (flags & flag_used) != 0;
    if (available != used || used != used_.wrap)
        return Taken::nothing;
    const auto identifier = static_cast<std::uint16_t>(ending);
    if (identifier >= size_ || counts_[identifier] == 0)
        return Taken::impossible;
    result.token = identifier;
    // Read whatever VIRTQ_DESC_F_WRITE says (2.8.5): there are devices that never set it.
    result.length = load_word<std::uint32_t>(&descriptor.length, std::memory_order_relaxed);
    used_.advance(counts_[identifier], size_);
    free_ = static_cast<std::uint16_t>(free_ + counts_[identifier]);
    counts_[identifier] = 0;
    return Taken::one;
}

bool PackedRing::arm() noexcept {
    if (!event_index_ || !interrupts_ || armed_ == used_)
        return false;
    armed_ = used_;
    store_word(driver_event(), used_.index | (used_.wrap ? event_wrap : 0) | events_at_place,
               std::memory_order_relaxed);
    // The event is seen before the descriptor is read: the device writes it and then looks at the event.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const auto ending =
        load_word<std::uint32_t>(&descriptors_[used_.index].ending, std::memory_order_relaxed);
    const bool available = (ending >> 16 & flag_available) != 0;
    const bool used = (ending >> 16 & flag_used) != 0;
    return available == used && used == used_.wrap;
}

}  // namespace outboard::virtio
