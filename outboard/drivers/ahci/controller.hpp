// The driver of an AHCI host bus adapter: takes it from the firmware, brings its ports up, serves its
// interrupt, and puts right what the ports complain of.
#pragma once

#include "outboard/classes/driver.hpp"
#include "outboard/device/device.hpp"
#include "outboard/drivers/ahci/disk.hpp"
#include "outboard/drivers/ahci/port.hpp"
#include "outboard/drivers/ahci/registers.hpp"
#include "outboard/runtime/event_watch.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace outboard::ahci {

class Controller final : public Driver {
  public:
    /// Bytes that a controller takes from the arena at most.
    static constexpr std::size_t dma_bytes = most_ports * Port::dma_bytes;

    /// Finds the registers. Throws Error when they are not those of an HBA that can be driven.
    Controller(Device& device, RunLoop& loop, DriverOptions options);
    Controller(const Controller&) = delete;
    Controller& operator=(const Controller&) = delete;
    Controller(Controller&&) = delete;
    Controller& operator=(Controller&&) = delete;
    ~Controller() override;

    /// Resets the HBA and finds its disks. Throws Error.
    Task<void> start();

    std::vector<BlockDevice*> block_devices() override;
    Task<void> shut_down() override;

  private:
    /// A port, and its number at the HBA.
    struct Place {
        unsigned number = 0;
        std::unique_ptr<Port> port;
        std::unique_ptr<Disk> disk;  ///< null when there was none at the start
    };

    // Bringing up.
    Task<void> take_from_firmware();
    Task<void> reset_hba();
    Task<void> bring_up_link(Duration limit, bool (*expected)(const Port&));
    void make_ports();
    void choose_interrupts();
    void use_interrupts(bool on) noexcept;
    Task<void> serve_interrupts();
    void serve_ports() noexcept;

    // What ports complain of.
    Task<void> serve_attention();
    Task<void> recover();
    Task<bool> bring_up_again();
    bool gone() const noexcept { return all_ones(registers_.read<GlobalControl>()); }
    void give_up() noexcept;
    void tell(std::string_view text) const noexcept;

    Device& device_;
    RunLoop& loop_;
    DriverOptions options_;
    std::string name_;
    Region region_;
    RegisterBlock<global_bytes> registers_;
    Limits limits_;
    Value<Capabilities> capabilities_;
    std::uint32_t implemented_;
    bool attending_ = false;  ///< something is being put right
    bool lost_ = false;
    bool at_rest_ = false;

    Fd bell_;
    std::vector<Place> places_;
    std::optional<InterruptKind> interrupt_kind_;
    std::vector<Interrupt> interrupts_;

    std::optional<EventWatch> interrupt_watch_;
    std::optional<EventWatch> bell_watch_;
    Task<void> interrupt_service_;  ///< go before what they use
    Task<void> attention_service_;
};

}  // namespace outboard::ahci
