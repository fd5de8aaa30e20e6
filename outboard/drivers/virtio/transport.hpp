// A virtio device on PCI, whatever its type: its structures, its status, what is negotiated, its queues'
// set-up and its interrupts (Virtio 1.2, 3.1 and 4.1). The modern interface only.
#pragma once

#include "outboard/device/device.hpp"
#include "outboard/drivers/virtio/features.hpp"
#include "outboard/drivers/virtio/layout.hpp"
#include "outboard/drivers/virtio/registers.hpp"
#include "outboard/drivers/virtio/virtqueue.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace outboard::virtio {

/// PCI vendor of all virtio devices (4.1.2).
inline constexpr std::uint16_t pci_vendor = 0x1af4;

/// PCI device identifier of a virtio device of that type, unless it is transitional (4.1.2.1).
constexpr std::uint16_t device_id(std::uint16_t type) noexcept {
    return static_cast<std::uint16_t>(0x1040 + type);
}

/// Used by the thread of the driver, except status(). All functions throw Error unless they say otherwise.
class Transport {
  public:
    /// Finds the structures. `reset_limit` is the deadline of a reset.
    Transport(Device& device, RunLoop& loop, Duration reset_limit);

    const std::string& name() const noexcept { return name_; }
    Device& device() noexcept { return device_; }
    RunLoop& loop() noexcept { return loop_; }
    /// Deadline of a reset.
    Duration reset_limit() const noexcept { return reset_limit_; }

    // ---- bringing up, in this order ----

    /// Resets the device and waits until it is. It writes to no memory afterwards.
    Task<void> reset();
    /// What the device offers; throws (kind unsupported) when feature::required is not among it.
    Features begin();
    /// Accepts those of `wanted`, the bits of the device type, and of feature::transport that are offered.
    /// They are fixed from here on.
    Features accept(Features wanted);
    Features features() const noexcept { return features_; }

    /// Queues that the device has.
    std::uint16_t queue_count() const noexcept { return registers_.read<QueueCount>().raw(); }
    /// The most descriptors that a queue can have; a power of two where rings are split; 0: there is no such
    /// queue. Before it is set up.
    std::uint16_t largest_queue(std::uint16_t index) noexcept;
    /// Where notifications of a queue go.
    Virtqueue::Notifier notifier(std::uint16_t index);

    /// Enables vectors for the configuration and `queues` queues, or fewer: MSI-X, else INTx; without
    /// `wanted`, or when the device has neither, none. Once.
    void enable_interrupts(unsigned queues, bool wanted);
    std::optional<InterruptKind> interrupt_kind() const noexcept { return interrupt_kind_; }
    /// The configuration's is the first. With INTx it is the only one.
    std::vector<Interrupt>& interrupts() noexcept { return interrupts_; }
    /// MSI-X: the interrupt of a queue; null: it has none.
    Interrupt* interrupt_of(std::uint16_t queue) noexcept;
    /// Tells the device where configuration changes go.
    void set_up_configuration_vector();
    /// Hands the device a queue, empty, with its vector.
    void set_up(const Virtqueue& queue);
    /// The device may work from here on (DRIVER_OK).
    void start();

    // ---- any time ----

    /// Any thread.
    Value<DeviceStatus> status() const noexcept { return registers_.read<DeviceStatus>(); }
    /// Reads it, and with it lowers INTx.
    Value<InterruptStatus> take_interrupt_status() const noexcept {
        return interrupt_status_.read<InterruptStatus>();
    }

    /// A field of the device type's configuration, 1, 2 or 4 bytes.
    template <std::unsigned_integral T>
        requires(sizeof(T) <= 4)
    T read_configuration(std::uint32_t offset) const {
        return device_region().load<T>(configuration_place(offset, sizeof(T)));
    }
    template <std::unsigned_integral T>
        requires(sizeof(T) <= 4)
    void write_configuration(std::uint32_t offset, T value) {
        device_region().store<T>(configuration_place(offset, sizeof(T)), value);
    }
    /// Calls `read`, which reads several fields, until none of them has changed meanwhile; gives its result.
    template <class Read>
    auto read_configuration_whole(Read read) const {
        for (unsigned tries = 0; tries < most_generations; ++tries) {
            const auto before = registers_.read<ConfigurationGeneration>();
            auto result = read();
            if (registers_.read<ConfigurationGeneration>() == before)
                return result;
        }
        throw_restless();
    }

    /// At rest: reset, interrupts off, bus mastering off. Throws after all of it was tried.
    Task<void> shut_down();

  private:
    static constexpr unsigned most_generations = 64;

    std::uint64_t configuration_place(std::uint32_t offset, std::size_t size) const;
    const Region& device_region() const;
    [[noreturn]] void throw_restless() const;
    [[noreturn]] void refuse(std::string cause, std::string remedy = {}) const;
    std::uint16_t vector_of(std::uint16_t queue) const noexcept;
    std::uint16_t select_vector(std::uint16_t queue, std::uint16_t vector) noexcept;

    Device& device_;
    RunLoop& loop_;
    std::string name_;
    Duration reset_limit_;
    Layout layout_;
    Region notify_region_;
    std::optional<Region> device_region_;
    RegisterBlock<common_bytes> registers_;
    RegisterBlock<interrupt_status_bytes> interrupt_status_;
    Features offered_ = 0;
    Features features_ = 0;
    std::optional<InterruptKind> interrupt_kind_;
    std::vector<Interrupt> interrupts_;
};

}  // namespace outboard::virtio
