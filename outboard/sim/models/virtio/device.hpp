// A virtio device on PCI, simulated, whatever its type: registers, queues, notifications, interrupts (Virtio
// 1.2). Derive from it and answer requests. Notifications are shared memory that it polls; everything else
// comes by message.
#pragma once

#include "outboard/runtime/clock.hpp"
#include "outboard/sim/models/virtio/chain.hpp"
#include "outboard/sim/models/virtio/queue_end.hpp"
#include "outboard/sim/models/virtio/registers.hpp"
#include "outboard/sim/pci_model.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace outboard::sim::virtio {

/// What all types of device have in common.
struct DeviceOptions {
    std::string name{};      ///< what messages call the model
    std::uint16_t type = 0;  ///< 2: a block device
    std::uint32_t class_code = 0;
    std::uint16_t queues = 1;         ///< 1 … 256
    std::uint16_t queue_size = 256;   ///< a power of two, 2 … 1024
    std::uint64_t type_features = 0;  ///< what the type offers besides these:
    bool packed = false;
    bool indirect = true;
    bool event_index = true;
    bool iommu_platform = true;
    bool msix = true;
    Duration latency{};  ///< of requests, from when they are fetched
};

/// Throws Error (kind usage) that says what is wrong, if anything is.
void check(const DeviceOptions& options);

/// BAR 4: common configuration, ISR status at 0x1000, configuration of the type at 0x2000, notifications from
/// 0x3000 on. BAR 1: the MSI-X table, its pending bits from 0x1000 on.
class VirtioDevice : public PciModel {
  public:
    /// Throws Error.
    explicit VirtioDevice(const DeviceOptions& options);

    std::uint64_t read(unsigned bar, std::uint64_t offset, unsigned width) final;
    void write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) final;
    void reset() final;
    Polled poll() final;

  protected:
    // ---- what a type implements ----

    /// Carries out a request and returns how many bytes were written to its writable parts. Nothing: the
    /// client has broken the type's rules.
    virtual std::optional<std::uint32_t> execute(unsigned queue, const Chain& chain) = 0;
    /// The configuration of the type, as it is read.
    virtual std::span<const std::byte> configuration() = 0;
    /// The client writes there; it lies inside configuration().
    virtual void write_configuration(std::uint64_t offset, unsigned width, std::uint64_t value) {
        static_cast<void>(offset);
        static_cast<void>(width);
        static_cast<void>(value);
    }
    /// Features are fixed from here on.
    virtual void negotiated() {}
    /// As after power-on.
    virtual void type_reset() {}
    /// Asked with every poll of a device that works: what the type has to do unasked.
    virtual void look_around() {}

    // ---- what a type uses ----

    std::uint64_t features() const noexcept { return accepted_; }
    bool has(unsigned feature_bit) const noexcept { return (accepted_ >> feature_bit & 1) != 0; }
    /// configuration() has changed: tells the client.
    void configuration_changed();
    /// Nothing works any more until the client resets the device (2.1.2), which is told.
    void break_down();

  private:
    struct Delayed {
        TimePoint due;
        Chain chain;
    };
    struct Queue {
        std::uint16_t size = 0;
        std::uint16_t vector = no_vector;
        std::uint64_t descriptors = 0;
        std::uint64_t driver_area = 0;
        std::uint64_t device_area = 0;
        std::unique_ptr<QueueEnd> end{};  ///< null: not enabled
        bool active = false;              ///< the client has notified, and the queue was not empty since
        std::deque<Delayed> delayed{};
    };

    // Registers (device_registers.cpp).
    std::uint32_t load(Common field) const noexcept;
    void store(Common field, std::uint32_t value);
    static unsigned width_of(Common field) noexcept;
    void store_queue(Queue& queue, Common field, std::uint32_t value);
    void enable(Queue& queue);
    void store_status(std::uint8_t value);
    bool features_are_acceptable() const noexcept;
    std::uint16_t vector_or_none(std::uint32_t value) const noexcept;
    void clear();
    bool running() const noexcept;

    // Queues (device.cpp).
    bool serve(unsigned index);
    bool finish_delayed(unsigned index);
    void carry_out(unsigned index, const Chain& chain);
    void signal(Queue& queue) noexcept;
    void interrupt(std::uint16_t vector, std::uint8_t cause) noexcept;
    void wake_at(TimePoint due);
    bool rung(unsigned index) noexcept;
    std::uint16_t* notification(unsigned index) const noexcept;

    // What a fault plan does to it (device_faults.cpp).
    bool misses_notification();
    void put_with_faults(unsigned index, const Chain& chain, std::uint32_t written);
    void put_later(unsigned index, const Chain& chain, std::uint32_t written, Duration delay);

    DeviceOptions options_;
    std::uint64_t offered_;
    std::vector<Queue> queues_;
    std::uint64_t accepted_ = 0;
    std::uint32_t device_select_ = 0;
    std::uint32_t driver_select_ = 0;
    std::uint16_t configuration_vector_ = no_vector;
    std::uint8_t status_ = 0;
    std::uint8_t generation_ = 0;
    std::uint16_t queue_select_ = 0;
    std::uint8_t isr_ = 0;
    bool hung_ = false;  ///< a fault: nothing happens until a reset
    Chain chain_;        ///< the one that is worked on
    std::optional<TimePoint> wake_;
};

}  // namespace outboard::sim::virtio
