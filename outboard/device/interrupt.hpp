// Interrupts of a device as eventfds.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/base/fd.hpp"

#include <cstdint>

namespace outboard {

/// One INTx, MSI or MSI-X vector. Await it with RunLoop::event(interrupt.eventfd()); each result is the
/// number of times it fired since. Belongs to the thread that awaits it; goes before its Device.
class Interrupt {
  public:
    /// Made by Device::enable_interrupts.
    Interrupt(Backend& backend, InterruptKind kind, unsigned vector, Fd eventfd) noexcept
        : backend_(&backend), kind_(kind), vector_(vector), eventfd_(static_cast<Fd&&>(eventfd)) {}

    InterruptKind kind() const noexcept { return kind_; }
    unsigned vector() const noexcept { return vector_; }
    /// Becomes readable when the interrupt fires; owned by this object.
    int eventfd() const noexcept { return eventfd_.get(); }

    /// INTx is masked by the kernel when it fires. Acknowledge the interrupt at the device first, then call
    /// this: unmasking a line that is still asserted fires again. Does nothing for MSI and MSI-X. Returns 0
    /// or errno.
    [[nodiscard]] int unmask() noexcept { return kind_ == InterruptKind::intx ? backend_->unmask_intx() : 0; }

  private:
    Backend* backend_;
    InterruptKind kind_;
    unsigned vector_;
    Fd eventfd_;
};

}  // namespace outboard
