// QEMU's educational device (PCI 1234:11e8): factorials and DMA, by interrupt. The shortest driver there is,
// and the one to read before writing another.
#pragma once

#include "outboard/classes/driver.hpp"
#include "outboard/drivers/edu/registers.hpp"
#include "outboard/runtime/event_watch.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace outboard::edu {

/// An edu device at work. Used by the thread of its run loop, one function at a time.
class Edu final : public Driver {
  public:
    /// Takes the device over, whatever state it is in: checks that it is one and is alive, waits for a
    /// transfer that is still going on, and enables its interrupt, which is INTx or MSI. Device and loop
    /// outlive the driver. Throws Error.
    static Task<std::unique_ptr<Edu>> start(Device& device, RunLoop& loop, InterruptKind kind);

    /// n! modulo 2^32. Throws Error (timed_out after 2 s).
    Task<std::uint32_t> factorial(std::uint32_t n);

    /// Copies memory of the arena into the device's buffer at `offset`, or back: at most buffer_bytes in all.
    /// QEMU's device takes 100 ms for it. Throws Error: usage when it does not fit, timed_out after 2 s.
    /// However it ends, the device does not touch the memory any more.
    Task<void> copy_to_device(DmaSpan source, std::size_t offset);
    Task<void> copy_from_device(std::size_t offset, DmaSpan destination);

    /// Lets the device raise its interrupt with these causes.
    void raise(std::uint32_t causes);
    /// Waits for the next interrupt, serves it, and gives its causes. Zero: there was none, which is what MSI
    /// may give when causes came faster than they were served, and INTx never.
    Task<std::uint32_t> next_interrupt();

    Task<void> shut_down() override;

  private:
    using Registers = RegisterBlock<register_bytes>;

    Edu(Device& device, RunLoop& loop, const Registers& registers, Interrupt interrupt);

    std::uint32_t serve_interrupt();
    Task<void> wait_for_cause(std::uint32_t cause);
    Task<void> transfer(std::uint64_t source, std::uint64_t destination, std::size_t length,
                        bool from_device);
    Task<void> stop_dma();

    Device& device_;
    RunLoop& loop_;
    Registers registers_;
    Interrupt interrupt_;
    EventWatch interrupts_;
};

inline constexpr std::array devices{PciMatch{.vendor = 0x1234, .device = 0x11e8, .name = "QEMU edu"}};

/// The entry for the table of drivers: MSI where the device has it, INTx otherwise.
extern const DriverDescription description;

}  // namespace outboard::edu
