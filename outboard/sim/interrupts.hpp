// A device's interrupts: the INTx line with its level, and messages (MSI, MSI-X), delivered to the eventfds
// that a client connects (PCI 3.0, 2.2.6 and 6.8).
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/sim/config_space_model.hpp"
#include "outboard/sim/counter.hpp"
#include "outboard/sim/fault_injector.hpp"
#include "outboard/sim/timers.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace outboard::sim {

/// Numbered as vfio-user numbers them.
enum class IrqKind : unsigned { intx, msi, msix };
inline constexpr unsigned irq_kinds = 3;

/// May be read by any thread.
struct InterruptCounts {
    Counter delivered;  ///< written to an eventfd
    Counter held_back;  ///< messages that had to wait for their vector to be unmasked
    Counter lost;       ///< messages while messages or bus mastering were off, or no eventfd was there
};

/// Used by the thread that serves the device. Nothing here throws or blocks.
class Interrupts {
  public:
    /// `config`, `faults` and `timers` outlive it.
    Interrupts(ConfigSpaceModel& config, const PciDescription& description, FaultInjector& faults,
               Timers& timers);

    // ---- for the model ----

    /// The level of the INTx line, as the device drives it. It reaches the client while neither MSI nor MSI-X
    /// is enabled and the command register does not disable it.
    void set_line(bool asserted) noexcept;
    bool line() const noexcept { return line_; }

    /// Sends the message of a vector: MSI-X or MSI, whichever is enabled. Waits while the vector is masked,
    /// once however often it is sent; is lost while neither is enabled, or bus mastering is off.
    void notify(unsigned vector = 0) noexcept;

    /// MSI or MSI-X is enabled: the device sends messages instead of driving its line.
    bool messages_enabled() const noexcept { return config_.msi_enabled() || config_.msix_enabled(); }

    const InterruptCounts& counts() const noexcept { return counts_; }

    // ---- for the server; vectors [start, start + count) lie inside count(kind) ----

    unsigned count(IrqKind kind) const noexcept { return static_cast<unsigned>(of(kind).size()); }

    /// What an eventfd is written for.
    enum class Event : unsigned { trigger, mask, unmask };
    /// Connects eventfds to vectors from `start` on. Triggers enable the kind, and disable the others,
    /// as the kernel's VFIO does; a vector that had none is unmasked.
    void connect(IrqKind kind, Event event, unsigned start, std::span<Fd> eventfds) noexcept;
    void disconnect(IrqKind kind, Event event, unsigned start, unsigned count) noexcept;
    /// Disconnects all vectors of a kind and disables it.
    void disable(IrqKind kind) noexcept;
    void set_masked(IrqKind kind, unsigned vector, bool masked) noexcept;
    bool masked(IrqKind kind, unsigned vector) const noexcept { return of(kind)[vector].masked; }
    bool pending(IrqKind kind, unsigned vector) const noexcept { return of(kind)[vector].pending; }
    /// Fires a vector's eventfd whatever the device does: a client tries its own wiring.
    void fire(IrqKind kind, unsigned vector) noexcept;

    /// Configuration space has changed: what was held back may go now.
    void update() noexcept;
    /// The device was reset: the line falls and nothing is pending.
    void reset() noexcept;
    /// The client is gone, and its eventfds with it.
    void drop_eventfds() noexcept;

  private:
    struct Vector {
        std::array<Fd, 3> eventfds;  ///< by Event
        bool masked = false;
        bool pending = false;
    };

    std::vector<Vector>& of(IrqKind kind) noexcept { return vectors_[static_cast<unsigned>(kind)]; }
    const std::vector<Vector>& of(IrqKind kind) const noexcept {
        return vectors_[static_cast<unsigned>(kind)];
    }
    void change_mask(Vector& vector, bool masked) noexcept;
    void send(unsigned vector) noexcept;
    void deliver(Vector& vector) noexcept;
    void deliver_line() noexcept;
    void deliver_pending() noexcept;

    ConfigSpaceModel& config_;
    FaultInjector& faults_;
    Timers& timers_;
    std::array<std::vector<Vector>, irq_kinds> vectors_;
    bool line_ = false;
    InterruptCounts counts_;
};

}  // namespace outboard::sim
