// The driver of a PCI IDE controller: both channels and what they share, the interrupt.
#pragma once

#include "outboard/classes/driver.hpp"
#include "outboard/device/device.hpp"
#include "outboard/drivers/ide/channel_engine.hpp"
#include "outboard/drivers/ide/controller_table.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace outboard::ide {

/// Its disks, in the order primary master, primary slave, secondary master, secondary slave.
class Controller final : public Driver {
  public:
    /// Finds the registers of both channels. Throws Error when the function has not the regions of an IDE
    /// controller.
    Controller(Device& device, RunLoop& loop, const ControllerQuirks& quirks, DriverOptions options);

    /// Resets both channels, finds their disks, and turns interrupts on where they reach this process. A
    /// channel that hangs is reported and left alone while the other one has disks; otherwise its Error is
    /// thrown.
    Task<void> start();

    std::vector<BlockDevice*> block_devices() override;
    Task<void> shut_down() override;

  private:
    static constexpr unsigned channels = 2;

    bool channel_enabled(unsigned channel) const;
    std::optional<ChannelWindows> find_windows(unsigned channel) const;
    bool interrupts_usable() const;
    void start_interrupts();
    Task<void> serve_interrupts();
    void acknowledge_at_controller(unsigned channel) noexcept;
    void tell(std::string_view text) const;

    Device& device_;
    RunLoop& loop_;
    const ControllerQuirks& quirks_;
    DriverOptions options_;
    PciIdentity identity_;
    std::array<std::unique_ptr<ChannelEngine>, channels> engines_;
    std::vector<Interrupt> interrupts_;
    Task<void> interrupt_service_;  ///< goes before what it uses
};

}  // namespace outboard::ide
