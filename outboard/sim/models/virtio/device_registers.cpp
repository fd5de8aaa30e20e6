#include "outboard/sim/models/virtio/device.hpp"

#include <algorithm>
#include <bit>

namespace outboard::sim::virtio {

namespace {

void put_half(std::uint64_t& value, bool high, std::uint32_t half) noexcept {
    const unsigned shift = high ? 32 : 0;
    value = (value & ~(std::uint64_t{0xffffffff} << shift)) | std::uint64_t{half} << shift;
}

std::uint32_t half_of(std::uint64_t value, bool high) noexcept {
    return static_cast<std::uint32_t>(value >> (high ? 32 : 0));
}

}  // namespace

/// Bytes; 0 where no field begins.
unsigned VirtioDevice::width_of(Common field) noexcept {
    switch (field) {
        case Common::device_status:
        case Common::config_generation:
            return 1;
        case Common::config_msix_vector:
        case Common::num_queues:
        case Common::queue_select:
        case Common::queue_size:
        case Common::queue_msix_vector:
        case Common::queue_enable:
        case Common::queue_notify_off:
            return 2;
        case Common::device_feature_select:
        case Common::device_feature:
        case Common::driver_feature_select:
        case Common::driver_feature:
        case Common::queue_desc:
        case Common::queue_desc_high:
        case Common::queue_driver:
        case Common::queue_driver_high:
        case Common::queue_device:
        case Common::queue_device_high:
            return 4;
    }
    return 0;
}

std::uint32_t VirtioDevice::load(Common field) const noexcept {
    const Queue* const queue = queue_select_ < queues_.size() ? &queues_[queue_select_] : nullptr;
    switch (field) {
        case Common::device_feature_select:
            return device_select_;
        case Common::device_feature:
            return device_select_ < 2 ? half_of(offered_, device_select_ == 1) : 0;
        case Common::driver_feature_select:
            return driver_select_;
        case Common::driver_feature:
            return driver_select_ < 2 ? half_of(accepted_, driver_select_ == 1) : 0;
        case Common::config_msix_vector:
            return configuration_vector_;
        case Common::num_queues:
            return options_.queues;
        case Common::device_status:
            return status_;
        case Common::config_generation:
            return generation_;
        case Common::queue_select:
            return queue_select_;
        case Common::queue_size:
            return queue != nullptr ? queue->size : 0;
        case Common::queue_msix_vector:
            return queue != nullptr ? queue->vector : no_vector;
        case Common::queue_enable:
            return queue != nullptr && queue->end ? 1 : 0;
        case Common::queue_notify_off:
            return queue != nullptr ? queue_select_ : 0;
        case Common::queue_desc:
        case Common::queue_desc_high:
            return queue != nullptr ? half_of(queue->descriptors, field == Common::queue_desc_high) : 0;
        case Common::queue_driver:
        case Common::queue_driver_high:
            return queue != nullptr ? half_of(queue->driver_area, field == Common::queue_driver_high) : 0;
        case Common::queue_device:
        case Common::queue_device_high:
            return queue != nullptr ? half_of(queue->device_area, field == Common::queue_device_high) : 0;
    }
    return 0;
}

void VirtioDevice::store(Common field, std::uint32_t value) {
    switch (field) {
        case Common::device_feature_select:
            device_select_ = value;
            break;
        case Common::driver_feature_select:
            driver_select_ = value;
            break;
        case Common::driver_feature:
            if ((status_ & status_features_ok) == 0 && driver_select_ < 2)
                put_half(accepted_, driver_select_ == 1, value);
            break;
        case Common::config_msix_vector:
            configuration_vector_ = vector_or_none(value);
            break;
        case Common::device_status:
            store_status(static_cast<std::uint8_t>(value));
            break;
        case Common::queue_select:
            queue_select_ = static_cast<std::uint16_t>(value);
            break;
        default:
            if (queue_select_ < queues_.size() && (status_ & status_features_ok) != 0)
                store_queue(queues_[queue_select_], field, value);
            break;
    }
}

void VirtioDevice::store_queue(Queue& queue, Common field, std::uint32_t value) {
    // A queue that is enabled stays as it is (4.1.4.3.2).
    if (queue.end)
        return;
    switch (field) {
        case Common::queue_size:
            if (value >= 1 && value <= options_.queue_size)
                queue.size = static_cast<std::uint16_t>(value);
            break;
        case Common::queue_msix_vector:
            queue.vector = vector_or_none(value);
            break;
        case Common::queue_enable:
            if (value == 1)
                enable(queue);
            break;
        case Common::queue_desc:
        case Common::queue_desc_high:
            put_half(queue.descriptors, field == Common::queue_desc_high, value);
            break;
        case Common::queue_driver:
        case Common::queue_driver_high:
            put_half(queue.driver_area, field == Common::queue_driver_high, value);
            break;
        case Common::queue_device:
        case Common::queue_device_high:
            put_half(queue.device_area, field == Common::queue_device_high, value);
            break;
        default:
            break;
    }
}

void VirtioDevice::enable(Queue& queue) {
    const bool packed = has(packed_bit);
    const std::uint64_t driver_alignment = packed ? 4 : 2;
    // Alignments of 2.7 and 2.8.10.1; queues are made before the device works (3.1.1).
    if (queue.descriptors % 16 != 0 || queue.driver_area % driver_alignment != 0 ||
        queue.device_area % 4 != 0 || (!packed && !std::has_single_bit(queue.size)) ||
        (status_ & status_driver_ok) != 0) {
        break_down();
        return;
    }
    const QueuePlace place{.size = queue.size,
                           .descriptors = queue.descriptors,
                           .driver_area = queue.driver_area,
                           .device_area = queue.device_area,
                           .indirect = has(indirect_bit),
                           .event_index = has(event_index_bit)};
    queue.end = packed ? make_packed_end(dma(), place) : make_split_end(dma(), place);
}

std::uint16_t VirtioDevice::vector_or_none(std::uint32_t value) const noexcept {
    return value < description().msix.vectors ? static_cast<std::uint16_t>(value) : no_vector;
}

// ---- status and reset ----

bool VirtioDevice::running() const noexcept {
    return (status_ & status_driver_ok) != 0 && (status_ & status_needs_reset) == 0 && !hung_ && !removed();
}

bool VirtioDevice::features_are_acceptable() const noexcept {
    const std::uint64_t needed = bit(version_1_bit) | (offered_ & bit(access_platform_bit));
    return (accepted_ & ~offered_) == 0 && (accepted_ & needed) == needed;
}

void VirtioDevice::store_status(std::uint8_t value) {
    if (value == 0) {
        if (faults().strike(FaultKind::reset_failure))
            return;
        timers().clear();
        clear();
        type_reset();
        return;
    }
    const auto added = static_cast<std::uint8_t>(value & ~status_);
    if ((added & status_features_ok) != 0) {
        if (!features_are_acceptable())
            value = static_cast<std::uint8_t>(value & ~status_features_ok);
        else
            negotiated();
    }
    // A driver sets bits and clears none but all (2.1.1), and it does not set this one.
    status_ |= static_cast<std::uint8_t>(value & ~status_needs_reset);
}

/// The client has broken the rules: nothing works any more until it resets the device (2.1.2).
void VirtioDevice::break_down() {
    if ((status_ & status_needs_reset) != 0)
        return;
    status_ |= status_needs_reset;
    configuration_changed();
}

void VirtioDevice::clear() {
    for (unsigned index = 0; index < queues_.size(); ++index) {
        queues_[index] = Queue{.size = options_.queue_size};
        rung(index);
    }
    accepted_ = 0;
    device_select_ = 0;
    driver_select_ = 0;
    configuration_vector_ = no_vector;
    status_ = 0;
    queue_select_ = 0;
    isr_ = 0;
    hung_ = false;
    wake_.reset();
    interrupts().set_line(false);
}

void VirtioDevice::reset() {
    clear();
    type_reset();
}

}  // namespace outboard::sim::virtio
