#include "outboard/drivers/virtio/transport.hpp"

#include "outboard/base/endian.hpp"
#include "outboard/base/error.hpp"
#include "outboard/classes/driver.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstring>
#include <exception>
#include <utility>

#include <fmt/format.h>

namespace outboard::virtio {

namespace {

using namespace std::chrono_literals;

constexpr Duration look_interval = 100us;
constexpr std::size_t config_space_bytes = 256;
constexpr std::uint16_t largest_ring = 32768;

constexpr auto acknowledged = Value<DeviceStatus>().with(DeviceStatus::acknowledge);
constexpr auto negotiated = acknowledged.with(DeviceStatus::driver).with(DeviceStatus::features_ok);

constexpr std::uint32_t low(std::uint64_t value) {
    return static_cast<std::uint32_t>(value);
}
constexpr std::uint32_t high(std::uint64_t value) {
    return static_cast<std::uint32_t>(value >> 32);
}

RegionIndex bar(const Structure& structure) {
    return static_cast<RegionIndex>(structure.bar);
}

Layout find_layout_of(Device& device) {
    std::array<std::byte, config_space_bytes> bytes{};
    for (std::size_t offset = 0; offset < bytes.size(); offset += 4) {
        const Le32 word = device.config().read32(static_cast<std::uint16_t>(offset));
        std::memcpy(&bytes[offset], &word, sizeof word);
    }
    std::array<std::uint64_t, bar_count> sizes{};
    for (unsigned index = 0; index < bar_count; ++index)
        if (const auto region = static_cast<RegionIndex>(index); device.has_region(region))
            sizes[index] = device.region(region).size();
    const auto layout = find_layout(bytes, sizes);
    if (!layout)
        refuse_device(device.name(), std::string(layout.error()));
    return *layout;
}

}  // namespace

Transport::Transport(Device& device, RunLoop& loop, Duration reset_limit)
    : device_(device),
      loop_(loop),
      name_(device.name()),
      reset_limit_(reset_limit),
      layout_(find_layout_of(device)),
      notify_region_(device.region(bar(layout_.notifications))),
      registers_(device.region(bar(layout_.common)).block<common_bytes>(layout_.common.offset)),
      interrupt_status_(device.region(bar(layout_.interrupt_status))
                            .block<interrupt_status_bytes>(layout_.interrupt_status.offset)) {
    if (layout_.device)
        device_region_ = device.region(bar(*layout_.device));
}

void Transport::refuse(std::string cause, std::string remedy) const {
    refuse_device(name_, std::move(cause), std::move(remedy));
}

Task<void> Transport::reset() {
    if (all_ones(status()))
        throw Error({.kind = ErrorKind::io,
                     .action = "reset",
                     .subject = name_,
                     .cause = "its registers read as all ones: it was removed, or has no power",
                     .remedy = {}});
    registers_.write(Value<DeviceStatus>());
    // Zero is read once the reset is complete (4.1.4.3.1).
    const std::string what = fmt::format("device_status clear on {}", name_);
    Task<void> waiting =
        wait_until(loop_, [this] { return status().raw() == 0; }, reset_limit_, look_interval, what);
    co_await std::move(waiting);
}

Features Transport::begin() {
    registers_.write(acknowledged);
    registers_.write(acknowledged.with(DeviceStatus::driver));
    const auto half = [this](std::uint32_t which) -> Features {
        registers_.write(Value<DeviceFeatureSelect>(which));
        return registers_.read<DeviceFeatures>().raw();
    };
    offered_ = half(0) | half(1) << 32;
    if (!has(offered_, feature::version_1))
        refuse("it offers the legacy interface only (no VIRTIO_F_VERSION_1)");
    if (!has(offered_, feature::access_platform))
        refuse("it would bypass the IOMMU (no VIRTIO_F_ACCESS_PLATFORM), and requests would be lost",
               "give it iommu_platform=on");
    return offered_;
}

Features Transport::accept(Features wanted) {
    features_ = offered_ & (wanted | feature::transport);
    registers_.write(Value<DriverFeatureSelect>(0));
    registers_.write(Value<DriverFeatures>(low(features_)));
    registers_.write(Value<DriverFeatureSelect>(1));
    registers_.write(Value<DriverFeatures>(high(features_)));
    registers_.write(negotiated);
    if (!status()[DeviceStatus::features_ok]) {
        registers_.write(negotiated.with(DeviceStatus::failed));
        refuse(fmt::format("it does not accept the features {:#x} of the {:#x} that it offers", features_,
                           offered_));
    }
    return features_;
}

std::uint16_t Transport::largest_queue(std::uint16_t index) noexcept {
    registers_.write(Value<QueueSelect>(index));
    const std::uint16_t size = registers_.read<QueueSize>().raw();
    if (size > largest_ring)
        return largest_ring;
    return has(features_, feature::packed_ring) ? size : std::bit_floor(size);
}

Virtqueue::Notifier Transport::notifier(std::uint16_t index) {
    registers_.write(Value<QueueSelect>(index));
    const auto place = notification_offset(layout_, registers_.read<QueueNotifyOffset>().raw());
    if (!place)
        refuse(fmt::format("notifications of its queue {} lie outside their structure", index));
    return notify_region_.block<notification_bytes>(*place);
}

void Transport::enable_interrupts(unsigned queues, bool wanted) {
    if (wanted) {
        for (const InterruptKind kind : {InterruptKind::msix, InterruptKind::intx}) {
            const unsigned available = device_.interrupt_count(kind);
            if (available == 0)
                continue;
            interrupts_ = device_.enable_interrupts(kind, std::min(available, queues + 1));
            interrupt_kind_ = kind;
            return;
        }
    }
    device_.poll_only();
}

/// Vector 0 is the configuration's, and the queues' too where there is no other.
std::uint16_t Transport::vector_of(std::uint16_t queue) const noexcept {
    if (interrupt_kind_ != InterruptKind::msix)
        return no_vector;
    const auto others = static_cast<unsigned>(interrupts_.size() - 1);
    return others == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(1 + queue % others);
}

Interrupt* Transport::interrupt_of(std::uint16_t queue) noexcept {
    const std::uint16_t vector = vector_of(queue);
    return vector == no_vector ? nullptr : &interrupts_[vector];
}

void Transport::set_up_configuration_vector() {
    const std::uint16_t vector = interrupt_kind_ == InterruptKind::msix ? std::uint16_t{0} : no_vector;
    registers_.write(Value<ConfigurationVector>(vector));
    // A device that has no room for it reads as none (4.1.5.1.2).
    if (registers_.read<ConfigurationVector>().raw() != vector)
        refuse("it does not take an interrupt vector for its configuration");
}

void Transport::set_up(const Virtqueue& queue) {
    registers_.write(Value<QueueSelect>(queue.index()));
    registers_.write(Value<QueueSize>(queue.size()));
    const std::uint16_t vector = vector_of(queue.index());
    registers_.write(Value<QueueVector>(vector));
    if (registers_.read<QueueVector>().raw() != vector)
        refuse(fmt::format("it does not take an interrupt vector for its queue {}", queue.index()));
    const RingPlaces places = queue.places();
    registers_.write(Value<QueueDescriptorsLow>(low(places.descriptors)));
    registers_.write(Value<QueueDescriptorsHigh>(high(places.descriptors)));
    registers_.write(Value<QueueDriverLow>(low(places.driver_area)));
    registers_.write(Value<QueueDriverHigh>(high(places.driver_area)));
    registers_.write(Value<QueueDeviceLow>(low(places.device_area)));
    registers_.write(Value<QueueDeviceHigh>(high(places.device_area)));
    registers_.write(Value<QueueEnable>(1));
}

void Transport::start() {
    // The rings first: the device may read them as soon as it sees this, also without a notification.
    std::atomic_thread_fence(std::memory_order_release);
    registers_.write(negotiated.with(DeviceStatus::driver_ok));
    const auto now = status();
    if (!now[DeviceStatus::driver_ok] || now[DeviceStatus::needs_reset] || all_ones(now))
        throw Error({.kind = ErrorKind::io,
                     .action = "start",
                     .subject = name_,
                     .cause = fmt::format("its status is {:#04x} after DRIVER_OK", now.raw()),
                     .remedy = {}});
}

const Region& Transport::device_region() const {
    if (!device_region_)
        refuse("it has no structure for the configuration of its type");
    return *device_region_;
}

std::uint64_t Transport::configuration_place(std::uint32_t offset, std::size_t size) const {
    if (!layout_.device || offset > layout_.device->length || layout_.device->length - offset < size)
        refuse(fmt::format("its configuration has no field of {} bytes at {:#x}", size, offset));
    return std::uint64_t{layout_.device->offset} + offset;
}

void Transport::throw_restless() const {
    throw Error({.kind = ErrorKind::io,
                 .action = "read the configuration of",
                 .subject = name_,
                 .cause = "it changes all the time",
                 .remedy = {}});
}

Task<void> Transport::shut_down() {
    std::exception_ptr failure;
    try {
        Task<void> resetting = reset();
        co_await std::move(resetting);
    } catch (const Error&) {
        failure = std::current_exception();
    }
    if (interrupt_kind_) {
        device_.disable_interrupts(*interrupt_kind_);
        interrupts_.clear();
        interrupt_kind_.reset();
    }
    device_.set_bus_master(false);
    if (failure)
        std::rethrow_exception(failure);
}

}  // namespace outboard::virtio
