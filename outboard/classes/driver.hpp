// What every driver is to the process that hosts it.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/classes/disk_health.hpp"
#include "outboard/device/config_space.hpp"
#include "outboard/device/device.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace outboard {

/// A driver at work on one device. Made by DriverDescription::start.
class Driver {
  public:
    Driver() = default;
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;
    Driver(Driver&&) = delete;
    Driver& operator=(Driver&&) = delete;
    virtual ~Driver() = default;

    /// The disks found, in the driver's own order (for IDE: primary master, primary slave, secondary master,
    /// …). They live as long as the driver.
    virtual std::vector<BlockDevice*> block_devices() { return {}; }

    /// Asks the device how it is, while its queues work; nothing where it does not tell. On the driver's
    /// loop. Throws Error.
    virtual Task<std::optional<DiskHealth>> read_health();

    /// Brings the device to rest: caches flushed, interrupts off, no DMA. Every queue must be gone. Throws
    /// Error.
    virtual Task<void> shut_down() = 0;
};

/// How a driver learns that requests have ended.
enum class CompletionMode : std::uint8_t {
    adaptive,   ///< interrupts when quiet, looking while busy, as far as driver and device can do both
    interrupt,  ///< interrupts, where the device has one that reaches this process
    poll,       ///< by looking, even where the device has an interrupt that works
};

/// What the user may say to a driver. A driver ignores what does not apply to its device.
struct DriverOptions {
    /// Deadline of one command; nothing: what the device states, or the driver's default.
    std::optional<std::chrono::milliseconds> command_timeout{};
    /// Deadline of the device after a reset; likewise.
    std::optional<std::chrono::milliseconds> reset_timeout{};
    /// Volatile write cache on or off; nothing: as the device is.
    std::optional<bool> write_cache{};
    /// False: data moves without DMA where the device has such a way.
    bool dma = true;
    CompletionMode completion = CompletionMode::adaptive;
    /// I/O queues that can be open at the same time, of all disks together; a driver makes fewer where its
    /// device has fewer. See DriverDescription::dma_bytes_per_queue.
    unsigned queues = 1;
    /// Takes a line of text about what the device did: errors with their meaning, resets, devices left alone
    /// and why. Called on the loop's thread, never for a request that went well. Empty: nobody is told.
    std::function<void(std::string_view)> report{};
};

/// PCI functions that a driver knows, and what it calls them.
struct PciMatch {
    static constexpr std::uint16_t any = 0xffff;  ///< no function has this vendor (PCI 3.0, 6.2.1)

    std::uint16_t vendor = any;
    std::uint16_t device = any;
    /// Base class, sub-class and programming interface as one number (0x010802); `class_mask` says which of
    /// its bits count.
    std::uint32_t class_code = 0;
    std::uint32_t class_mask = 0;
    std::string_view name{};

    constexpr bool fits(const PciIdentity& identity) const noexcept {
        const std::uint32_t code = std::uint32_t{identity.base_class} << 16 |
                                   std::uint32_t{identity.sub_class} << 8 | identity.programming_interface;
        return (vendor == any || vendor == identity.vendor) && (device == any || device == identity.device) &&
               (code & class_mask) == (class_code & class_mask);
    }
};

/// A driver, whether it is built in or comes from a module.
struct DriverDescription {
    std::string_view name;
    /// What it can drive; the first that fits counts. It lives as long as the driver's code.
    std::span<const PciMatch> devices;
    /// Resets the device and finds out what is behind it. Device and loop outlive the driver. The device's
    /// arena has been created before, with `dma_bytes_for(options)` for the driver and below
    /// `dma_address_bits`. Throws Error.
    Task<std::unique_ptr<Driver>> (*start)(Device& device, RunLoop& loop, DriverOptions options);
    /// The device can address IOVAs below 2^dma_address_bits.
    unsigned dma_address_bits = 64;
    /// Bytes of the arena that the driver needs for itself; exports and programs need theirs on top.
    std::size_t dma_bytes = 0;
    /// And besides these for each of DriverOptions::queues.
    std::size_t dma_bytes_per_queue = 0;

    /// The controller's name when this driver can drive it, an empty text otherwise.
    constexpr std::string_view match(const PciIdentity& identity) const noexcept {
        for (const PciMatch& entry : devices)
            if (entry.fits(identity))
                return entry.name;
        return {};
    }

    /// Its disks have as many queues as DriverOptions::queues and the device allow.
    bool makes_queues() const noexcept { return dma_bytes_per_queue != 0; }

    /// What the driver takes from the arena when it is started with these options.
    std::size_t dma_bytes_for(const DriverOptions& options) const noexcept {
        return dma_bytes + options.queues * dma_bytes_per_queue;
    }
};

/// For a driver that cannot drive what it was given: throws Error (kind unsupported) that names the device,
/// says why, and what to do where there is something.
[[noreturn]] void refuse_device(const std::string& name, std::string cause, std::string remedy = {});

}  // namespace outboard
