#include "outboard/sim/models/virtio/device.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/base/endian.hpp"
#include "outboard/base/error.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace outboard::sim::virtio {

namespace {

constexpr std::uint64_t page = 4096;
constexpr unsigned structures_bar = 4;
constexpr unsigned msix_bar = 1;
constexpr std::uint64_t isr_offset = 1 * page;
constexpr std::uint64_t type_offset = 2 * page;
constexpr std::uint64_t notify_offset = 3 * page;
constexpr std::uint32_t notify_multiplier = 4;
/// What a notification reads as that nobody has written: no queue has this number.
constexpr std::uint16_t idle = 0xffff;

/// Buffers taken from one queue before the others get their turn.
constexpr unsigned batch = 32;

void require(bool holds, const DeviceOptions& options, std::string_view cause) {
    if (!holds)
        throw Error({.kind = ErrorKind::usage,
                     .action = "simulate",
                     .subject = fmt::format("a {} device", options.name),
                     .cause = std::string(cause),
                     .remedy = "choose another value"});
}

PciDescription pci_description(const DeviceOptions& options) {
    check(options);
    const unsigned vectors = options.queues + 1U;
    PciDescription description{.name = options.name,
                               .vendor = vendor_id,
                               .device = static_cast<std::uint16_t>(first_device_id + options.type)};
    description.class_code = options.class_code;
    description.revision = 1;
    description.subsystem_vendor = vendor_id;
    description.subsystem = static_cast<std::uint16_t>(first_device_id + options.type);
    description.bars[structures_bar] = {.kind = BarKind::memory64,
                                        .size = 4 * page,
                                        .prefetchable = true,
                                        .shared = {{.offset = notify_offset, .size = page}}};
    description.interrupt_line = true;
    if (options.msix) {
        description.bars[msix_bar] = {.kind = BarKind::memory32, .size = 2 * page};
        description.msix = {.vectors = vectors,
                            .table_bar = msix_bar,
                            .table_offset = 0,
                            .pending_bar = msix_bar,
                            .pending_offset = page};
    }
    description.pci_express = true;
    return description;
}

/// struct virtio_pci_cap from its third byte on (4.1.4).
struct StructureCapability {
    std::uint8_t length;
    std::uint8_t type;
    std::uint8_t bar;
    std::array<std::uint8_t, 3> unused;
    Le16 offset_low;
    Le16 offset_high;
    Le16 length_low;
    Le16 length_high;
};
static_assert(sizeof(StructureCapability) == 14);

void add_structure(ConfigSpaceModel& config, std::uint8_t type, std::uint64_t offset, std::uint64_t length) {
    const bool notify = type == capability_notify;
    const StructureCapability capability{.length = static_cast<std::uint8_t>(notify ? 20 : 16),
                                         .type = type,
                                         .bar = structures_bar,
                                         .unused = {},
                                         .offset_low = static_cast<std::uint16_t>(offset),
                                         .offset_high = static_cast<std::uint16_t>(offset >> 16),
                                         .length_low = static_cast<std::uint16_t>(length),
                                         .length_high = static_cast<std::uint16_t>(length >> 16)};
    const auto bytes = bytes_of(capability);
    std::vector<std::byte> content(bytes.begin(), bytes.end());
    if (notify)
        for (const std::uint32_t shift : {0U, 8U, 16U, 24U})
            content.push_back(static_cast<std::byte>(notify_multiplier >> shift));
    config.add_vendor_capability(content);
}

}  // namespace

void check(const DeviceOptions& options) {
    require(options.queues >= 1 && options.queues <= 256, options, "it has 1 to 256 queues");
    require(std::has_single_bit(options.queue_size) && options.queue_size >= 2 && options.queue_size <= 1024,
            options, "a queue's size is a power of two from 2 to 1024");
}

VirtioDevice::VirtioDevice(const DeviceOptions& options)
    : PciModel(pci_description(options)),
      options_(options),
      offered_(options.type_features | bit(version_1_bit) | (options.packed ? bit(packed_bit) : 0) |
               (options.indirect ? bit(indirect_bit) : 0) | (options.event_index ? bit(event_index_bit) : 0) |
               (options.iommu_platform ? bit(access_platform_bit) : 0)),
      queues_(options.queues) {
    add_structure(config(), capability_common, 0, common_length);
    add_structure(config(), capability_isr, isr_offset, 1);
    add_structure(config(), capability_device, type_offset, page);
    add_structure(config(), capability_notify, notify_offset,
                  std::uint64_t{options.queues} * notify_multiplier);
    clear();
}

// ---- accesses ----

std::uint64_t VirtioDevice::read(unsigned bar, std::uint64_t offset, unsigned width) {
    if (bar != structures_bar)
        return 0;
    if (offset == isr_offset && width == 1) {
        interrupts().set_line(false);
        return std::exchange(isr_, std::uint8_t{0});
    }
    if (offset >= type_offset) {
        const auto bytes = configuration();
        std::uint64_t value = 0;
        for (unsigned i = 0; i < width && offset - type_offset + i < bytes.size(); ++i)
            value |= std::to_integer<std::uint64_t>(bytes[offset - type_offset + i]) << (8 * i);
        return value;
    }
    // Fields are accessed as wide as they are, and 64-bit ones in halves (4.1.3.1).
    const auto field = static_cast<Common>(offset);
    return offset < common_length && width_of(field) == width ? load(field) : 0;
}

void VirtioDevice::write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) {
    if (bar != structures_bar)
        return;
    if (offset >= type_offset) {
        if (offset - type_offset + width <= configuration().size())
            write_configuration(offset - type_offset, width, value);
        return;
    }
    const auto field = static_cast<Common>(offset);
    if (offset < common_length && width_of(field) == width)
        store(field, static_cast<std::uint32_t>(value));
}

// ---- notifications ----

std::uint16_t* VirtioDevice::notification(unsigned index) const noexcept {
    return reinterpret_cast<std::uint16_t*>(shared(structures_bar).data() + notify_offset +
                                            std::size_t{index} * notify_multiplier);
}

/// A notification that comes after this is seen the next time; the ring is looked at afterwards.
bool VirtioDevice::rung(unsigned index) noexcept {
    const std::atomic_ref place(*notification(index));
    if (place.load(std::memory_order_relaxed) == idle) [[likely]]
        return false;
    place.store(idle, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return true;
}

// ---- queues ----

Polled VirtioDevice::poll() {
    if (!running())
        return Polled::asleep;
    look_around();
    bool worked = false;
    for (unsigned index = 0; index < queues_.size() && running(); ++index) {
        Queue& queue = queues_[index];
        if (rung(index) && queue.end && !queue.active && !misses_notification()) {
            queue.active = true;
            queue.end->want_notifications(false);
        }
        if (queue.active)
            worked |= serve(index);
        if (!queue.delayed.empty())
            worked |= finish_delayed(index);
    }
    if (!running())
        return Polled::asleep;
    return worked ? Polled::worked : Polled::nothing;
}

/// Takes what is available from a queue and carries it out.
bool VirtioDevice::serve(unsigned index) {
    Queue& queue = queues_[index];
    bool worked = false;
    for (unsigned i = 0; i < batch && running(); ++i) {
        Fetched fetched = queue.end->fetch(chain_);
        if (fetched == Fetched::nothing) {
            // The client has to notify from here on; what came just before is seen by a second look.
            queue.end->want_notifications(true);
            fetched = queue.end->fetch(chain_);
            queue.active = fetched == Fetched::one;
            if (queue.active)
                queue.end->want_notifications(false);
        }
        if (fetched == Fetched::nothing)
            break;
        if (fetched == Fetched::broken) {
            break_down();
            break;
        }
        worked = true;
        if (options_.latency == Duration::zero()) {
            carry_out(index, chain_);
        } else {
            const TimePoint due = Clock::now() + options_.latency;
            queue.delayed.push_back({.due = due, .chain = chain_});
            wake_at(due);
        }
    }
    if (running())
        signal(queue);
    return worked;
}

bool VirtioDevice::finish_delayed(unsigned index) {
    Queue& queue = queues_[index];
    const TimePoint now = Clock::now();
    bool worked = false;
    while (running() && !queue.delayed.empty() && queue.delayed.front().due <= now) {
        const Chain chain = std::move(queue.delayed.front().chain);
        queue.delayed.pop_front();
        carry_out(index, chain);
        worked = true;
    }
    if (!running())
        return worked;
    if (!queue.delayed.empty())
        wake_at(queue.delayed.front().due);
    signal(queue);
    return worked;
}

void VirtioDevice::carry_out(unsigned index, const Chain& chain) {
    const auto written = execute(index, chain);
    if (!written) {
        break_down();
        return;
    }
    if (faults().may_strike()) [[unlikely]]
        put_with_faults(index, chain, *written);
    else
        queues_[index].end->put(chain, *written, Distortion::none);
}

/// Has the server poll at that time.
void VirtioDevice::wake_at(TimePoint due) {
    if (wake_ && *wake_ <= due)
        return;
    wake_ = due;
    timers().at(due, [this] { wake_.reset(); });
}

// ---- interrupts ----

void VirtioDevice::signal(Queue& queue) noexcept {
    if (queue.end->wants_interrupt())
        interrupt(queue.vector, isr_queue);
}

/// By a message where MSI-X is on, else by the line, with its cause in the ISR status (4.1.5.1).
void VirtioDevice::interrupt(std::uint16_t vector, std::uint8_t cause) noexcept {
    if (config().msix_enabled()) {
        if (vector != no_vector)
            interrupts().notify(vector);
        return;
    }
    isr_ |= cause;
    interrupts().set_line(true);
}

void VirtioDevice::configuration_changed() {
    ++generation_;
    if ((status_ & status_driver_ok) != 0)
        interrupt(configuration_vector_, isr_configuration);
}

}  // namespace outboard::sim::virtio
