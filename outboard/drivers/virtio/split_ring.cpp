#include "outboard/drivers/virtio/split_ring.hpp"

#include "outboard/drivers/virtio/shared_word.hpp"

#include <atomic>
#include <cstring>

namespace outboard::virtio {

namespace {

constexpr std::uint16_t flag_next = 1;      // VIRTQ_DESC_F_NEXT
constexpr std::uint16_t flag_write = 2;     // VIRTQ_DESC_F_WRITE
constexpr std::uint16_t flag_indirect = 4;  // VIRTQ_DESC_F_INDIRECT
constexpr std::uint16_t no_interrupt = 1;   // VIRTQ_AVAIL_F_NO_INTERRUPT
constexpr std::uint16_t no_notify = 1;      // VIRTQ_USED_F_NO_NOTIFY

// Places in the available ring, in units of 16 bits.
constexpr std::size_t available_flags = 0;
constexpr std::size_t available_index = 1;
constexpr std::size_t available_ring = 2;

// Places in the used ring, in bytes.
constexpr std::size_t used_flags = 0;
constexpr std::size_t used_index = 2;
constexpr std::size_t used_ring = 4;

constexpr std::uint16_t flags_of(const Element& element, bool last) {
    return static_cast<std::uint16_t>((element.device_writes ? flag_write : 0) | (last ? 0 : flag_next));
}

}  // namespace

SplitRing::SplitRing(const DmaSpan& memory, std::uint16_t size, bool event_index)
    : memory_(memory),
      descriptors_(reinterpret_cast<SplitDescriptor*>(memory.address)),
      size_(size),
      event_index_(event_index),
      own_(size),
      free_(size) {
    restart(true);
}

RingPlaces SplitRing::places() const noexcept {
    return {.descriptors = memory_.iova,
            .driver_area = memory_.iova + available_offset(size_),
            .device_area = memory_.iova + used_offset(size_)};
}

void SplitRing::restart(bool interrupts) noexcept {
    std::memset(memory_.address, 0, bytes(size_));
    free_first_ = 0;
    free_count_ = 0;
    for (std::uint16_t index = 0; index < size_; ++index) {
        own_[index] = {};
        give_descriptor(index);
    }
    chains_ = 0;
    available_index_ = 0;
    published_ = 0;
    used_index_ = 0;
    known_used_ = 0;
    interrupts_ = interrupts;
    armed_ = 0;
    if (interrupts)
        return;
    // With event indexes the flags stay zero (2.7.7.1): an event that has just passed does not come.
    if (event_index_)
        store_word(available(available_ring + size_), 0xffff, std::memory_order_relaxed);
    else
        store_word(available(available_flags), no_interrupt, std::memory_order_relaxed);
}

std::uint16_t SplitRing::take_descriptor() noexcept {
    const std::uint16_t index = free_[free_first_];
    free_first_ = static_cast<std::uint16_t>((free_first_ + 1) & (size_ - 1));
    --free_count_;
    return index;
}

void SplitRing::give_descriptor(std::uint16_t index) noexcept {
    free_[static_cast<std::uint16_t>((free_first_ + free_count_) & (size_ - 1))] = index;
    ++free_count_;
}

void SplitRing::add(std::span<const Element> elements, std::uint16_t token) noexcept {
    const std::uint16_t head = take_descriptor();
    std::uint16_t index = head;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        const bool last = i + 1 == elements.size();
        const std::uint16_t next = last ? std::uint16_t{0} : take_descriptor();
        SplitDescriptor& descriptor = descriptors_[index];
        descriptor.address = elements[i].iova;
        descriptor.length = elements[i].length;
        descriptor.flags = flags_of(elements[i], last);
        descriptor.next = next;
        own_[index].next = next;
        index = next;
    }
    make_available(head, static_cast<std::uint16_t>(elements.size()), token);
}

void SplitRing::add_indirect(const DmaSpan& table, std::span<const Element> elements,
                             std::uint16_t token) noexcept {
    auto* const entries = reinterpret_cast<SplitDescriptor*>(table.address);
    for (std::size_t i = 0; i < elements.size(); ++i) {
        entries[i].address = elements[i].iova;
        entries[i].length = elements[i].length;
        entries[i].flags = flags_of(elements[i], i + 1 == elements.size());
        entries[i].next = static_cast<std::uint16_t>(i + 1);
    }
    const std::uint16_t head = take_descriptor();
    SplitDescriptor& descriptor = descriptors_[head];
    descriptor.address = table.iova;
    descriptor.length = static_cast<std::uint32_t>(elements.size() * sizeof(SplitDescriptor));
    descriptor.flags = flag_indirect;
    descriptor.next = std::uint16_t{0};
    make_available(head, 1, token);
}

void SplitRing::make_available(std::uint16_t head, std::uint16_t count, std::uint16_t token) noexcept {
    own_[head].count = count;
    own_[head].token = token;
    ++chains_;
    store_word(available(available_ring + (available_index_ & (size_ - 1U))), head,
               std::memory_order_relaxed);
    ++available_index_;
}

bool SplitRing::publish() noexcept {
    const std::uint16_t before = published_;
    if (before == available_index_)
        return false;
    published_ = available_index_;
    // Descriptors, tables and ring entries first: the device reads them as soon as it sees the index.
    store_word(available(available_index), available_index_, std::memory_order_release);
    // The index is seen before it is read whether the device wants to know: the device says that it does and
    // then looks at the index once more, so one of the two sees the other.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (event_index_) {
        const std::uint16_t event =
            load_word<std::uint16_t>(used(used_ring + std::size_t{8} * size_), std::memory_order_relaxed);
        return passed(event, before, available_index_);
    }
    return (load_word<std::uint16_t>(used(used_flags), std::memory_order_relaxed) & no_notify) == 0;
}

Taken SplitRing::take(Used& result) noexcept {
    if (used_index_ == known_used_) {
        // What the device wrote before the index (the entries, the data) is read after it.
        const auto index = load_word<std::uint16_t>(used(used_index), std::memory_order_acquire);
        const auto count = static_cast<std::uint16_t>(index - used_index_);
        if (count == 0)
            return Taken::nothing;
        if (count > chains_)
            return Taken::impossible;
        known_used_ = index;
    }
    // Both are read once: what comes of them later changes nothing.
    const std::byte* const entry = used(used_ring + std::size_t{8} * (used_index_ & (size_ - 1U)));
    const auto head = load_word<std::uint32_t>(entry, std::memory_order_relaxed);
    result.length = load_word<std::uint32_t>(entry + 4, std::memory_order_relaxed);
    if (head >= size_ || own_[head].count == 0)
        return Taken::impossible;
    ++used_index_;
    auto index = static_cast<std::uint16_t>(head);
    result.token = own_[index].token;
    --chains_;
    for (std::uint16_t left = own_[index].count; left > 0; --left) {
        const std::uint16_t next = own_[index].next;
        own_[index].count = 0;
        give_descriptor(index);
        index = next;
    }
    return Taken::one;
}

bool SplitRing::arm() noexcept {
    if (!event_index_ || !interrupts_ || armed_ == used_index_)
        return false;
    armed_ = used_index_;
    store_word(available(available_ring + size_), used_index_, std::memory_order_relaxed);
    // The event is seen before the index is read: the device moves its index and then looks at the event.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return load_word<std::uint16_t>(used(used_index), std::memory_order_relaxed) != used_index_;
}

}  // namespace outboard::virtio
