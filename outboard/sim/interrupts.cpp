#include "outboard/sim/interrupts.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>

#include <poll.h>
#include <unistd.h>

namespace outboard::sim {

namespace {

/// False when there is none, or its counter is full. The client shares the counter, may have filled it, and
/// may have left it in blocking mode: a write that would wait is not made.
bool signal_eventfd(const Fd& eventfd) noexcept {
    if (!eventfd)
        return false;
    pollfd writable{.fd = eventfd.get(), .events = POLLOUT, .revents = 0};
    const std::uint64_t one = 1;
    return ::poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT) != 0 &&
           ::write(eventfd.get(), &one, sizeof one) == sizeof one;
}

}  // namespace

Interrupts::Interrupts(ConfigSpaceModel& config, const PciDescription& description, FaultInjector& faults,
                       Timers& timers)
    : config_(config), faults_(faults), timers_(timers) {
    of(IrqKind::intx) = std::vector<Vector>(description.interrupt_line ? 1 : 0);
    of(IrqKind::msi) = std::vector<Vector>(description.msi_vectors);
    of(IrqKind::msix) = std::vector<Vector>(description.msix.vectors);
    for (Vector& vector : of(IrqKind::msix))
        vector.masked = true;  // PCI 3.0, 6.8.2.9: the state after reset
}

// ---- what the device does ----

void Interrupts::set_line(bool asserted) noexcept {
    if (line_ == asserted)
        return;
    line_ = asserted;
    config_.show_line(asserted);
    if (asserted && faults_.strike(FaultKind::interrupt_drop))
        return;
    if (const auto delay = asserted ? faults_.strike(FaultKind::interrupt_delay) : std::nullopt) {
        timers_.after(std::chrono::microseconds(delay->delay_us), [this] { deliver_line(); });
        return;
    }
    deliver_line();
    // A line that fires although nothing drives it.
    if (!asserted && faults_.strike(FaultKind::interrupt_duplicate) && !of(IrqKind::intx).empty() &&
        !messages_enabled())
        deliver(of(IrqKind::intx).front());
}

void Interrupts::notify(unsigned vector) noexcept {
    if (faults_.strike(FaultKind::interrupt_drop))
        return;
    if (const auto delay = faults_.strike(FaultKind::interrupt_delay)) {
        timers_.after(std::chrono::microseconds(delay->delay_us), [this, vector] { send(vector); });
        return;
    }
    send(vector);
    if (faults_.strike(FaultKind::interrupt_duplicate))
        send(vector);
}

void Interrupts::send(unsigned vector) noexcept {
    const bool msix = config_.msix_enabled();
    auto& vectors = of(msix ? IrqKind::msix : IrqKind::msi);
    if ((!msix && !config_.msi_enabled()) || !config_.bus_master() || vectors.empty()) {
        ++counts_.lost;
        return;
    }
    // A device with fewer messages granted than it wants shares them (PCI 3.0, 6.8.1.3).
    if (!msix)
        vector &= config_.msi_vectors() - 1;
    if (vector >= vectors.size()) {
        ++counts_.lost;
        return;
    }
    if (vectors[vector].masked || (msix && config_.msix_masked())) {
        vectors[vector].pending = true;
        ++counts_.held_back;
        return;
    }
    deliver(vectors[vector]);
}

void Interrupts::deliver(Vector& vector) noexcept {
    if (signal_eventfd(vector.eventfds[std::to_underlying(Event::trigger)]))
        ++counts_.delivered;
    else
        ++counts_.lost;
}

/// The client masks nothing itself when the line fires: that happens here, and lasts until it unmasks.
void Interrupts::deliver_line() noexcept {
    if (!line_ || of(IrqKind::intx).empty() || messages_enabled() || config_.line_disabled())
        return;
    Vector& vector = of(IrqKind::intx).front();
    if (vector.masked || !signal_eventfd(vector.eventfds[std::to_underlying(Event::trigger)]))
        return;
    ++counts_.delivered;
    change_mask(vector, true);
}

void Interrupts::deliver_pending() noexcept {
    const IrqKind kind = config_.msix_enabled() ? IrqKind::msix : IrqKind::msi;
    if (!messages_enabled() || !config_.bus_master() || (kind == IrqKind::msix && config_.msix_masked()))
        return;
    for (Vector& vector : of(kind)) {
        if (vector.pending && !vector.masked) {
            vector.pending = false;
            deliver(vector);
        }
    }
}

// ---- what the client does ----

void Interrupts::connect(IrqKind kind, Event event, unsigned start, std::span<Fd> eventfds) noexcept {
    for (std::size_t i = 0; i < eventfds.size(); ++i) {
        Vector& vector = of(kind)[start + i];
        Fd& connected = vector.eventfds[std::to_underlying(event)];
        if (event == Event::trigger && !connected)
            vector.masked = false;
        connected = std::move(eventfds[i]);
    }
    if (event == Event::trigger) {
        const auto vectors = static_cast<unsigned>(start + eventfds.size());
        if (kind == IrqKind::msix) {
            config_.enable_msix();
        } else if (kind == IrqKind::msi) {
            if (!config_.msi_enabled() || config_.msi_vectors() < vectors)
                config_.enable_msi(vectors);
        } else {
            config_.disable_msi();
            config_.disable_msix();
        }
    }
    update();
}

void Interrupts::disconnect(IrqKind kind, Event event, unsigned start, unsigned count) noexcept {
    for (unsigned i = start; i < start + count; ++i)
        of(kind)[i].eventfds[std::to_underlying(event)].reset();
}

void Interrupts::disable(IrqKind kind) noexcept {
    for (Vector& vector : of(kind)) {
        for (Fd& eventfd : vector.eventfds)
            eventfd.reset();
        vector.masked = kind == IrqKind::msix;
        vector.pending = false;
    }
    if (kind == IrqKind::msi)
        config_.disable_msi();
    if (kind == IrqKind::msix)
        config_.disable_msix();
    update();
}

void Interrupts::change_mask(Vector& vector, bool masked) noexcept {
    if (vector.masked == masked)
        return;
    vector.masked = masked;
    signal_eventfd(vector.eventfds[std::to_underlying(masked ? Event::mask : Event::unmask)]);
}

void Interrupts::set_masked(IrqKind kind, unsigned vector, bool masked) noexcept {
    change_mask(of(kind)[vector], masked);
    if (!masked)
        update();
}

void Interrupts::fire(IrqKind kind, unsigned vector) noexcept {
    deliver(of(kind)[vector]);
}

void Interrupts::update() noexcept {
    deliver_line();
    deliver_pending();
}

void Interrupts::reset() noexcept {
    set_line(false);
    for (auto& vectors : vectors_)
        for (Vector& vector : vectors)
            vector.pending = false;
}

void Interrupts::drop_eventfds() noexcept {
    for (auto& vectors : vectors_)
        for (Vector& vector : vectors)
            for (Fd& eventfd : vector.eventfds)
                eventfd.reset();
}

}  // namespace outboard::sim
