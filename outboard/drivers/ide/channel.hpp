// One ATA channel: its registers, and one command at a time to one of its two devices. Nothing here waits,
// allocates or throws; who looks when is decided elsewhere.
#pragma once

#include "outboard/device/region.hpp"
#include "outboard/drivers/ide/ata.hpp"
#include "outboard/drivers/ide/error.hpp"
#include "outboard/drivers/ide/registers.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace outboard::ide {

/// The register windows of a channel.
struct ChannelWindows {
    RegisterBlock<8> command;
    RegisterBlock<1> control;
    std::optional<RegisterBlock<8>> bus_master{};
    bool wide_data = false;  ///< the data register takes 32-bit accesses
};

/// What a device leaves in its command block after a reset (ATA/ATAPI-7 volume 1, 5.14: the signature).
enum class Signature : std::uint8_t { none, ata, packet, unknown };

class Channel {
  public:
    static constexpr std::size_t pio_block = 512;

    explicit Channel(const ChannelWindows& windows) noexcept : windows_(windows) {}

    bool has_bus_master() const noexcept { return windows_.bus_master.has_value(); }
    /// True once an access to the registers has failed.
    bool failed() const noexcept;

    // ---- issuing ----

    /// Makes device `unit` (0 or 1) the one that the command block talks to. False when it, or the one
    /// selected before, is busy or in a transfer: no command may be issued then.
    bool select(unsigned unit) noexcept;
    /// Issues a command without DMA to the selected device.
    void issue(const TaskFile& task) noexcept;
    /// Issues a DMA command to the selected device and starts the bus master. The table at `prd_table` and
    /// what it describes are the device's until the command has ended or `stop_dma` was called.
    void issue_dma(const TaskFile& task, std::uint32_t prd_table) noexcept;

    // ---- looking ----

    /// One register read: true when the DMA command has ended, or its end has to be found out by `end_dma`.
    bool dma_ended() noexcept;
    /// What `dma_ended` saw: the bus master has not transferred everything its table describes.
    bool dma_active() const noexcept { return bus_master_status_[BusMasterStatus::active]; }
    /// Stops the bus master, acknowledges the interrupt, and says how the DMA command ended. Data that the
    /// device read is in memory then.
    Ending end_dma() noexcept;
    /// One register read: the state of a command without DMA.
    Value<Status> peek() const noexcept;
    /// Acknowledges the interrupt and says how a command without DMA ended.
    Ending end() noexcept;
    /// True when the device's interrupt has risen and was not acknowledged; needs a bus master.
    bool interrupt_risen() noexcept;
    /// Acknowledges an interrupt that belongs to no command.
    void acknowledge() noexcept;

    // ---- PIO ----

    /// Moves one block of 512 bytes, or one logical sector, while the device requests data. An even number of
    /// bytes.
    void read_data(std::span<std::byte> block) noexcept;
    void write_data(std::span<const std::byte> block) noexcept;

    // ---- recovery ----

    /// Stops the bus master whatever it does.
    void stop_dma() noexcept;
    /// Sets or clears software reset (SRST); interrupts of the devices stay on.
    void software_reset(bool on) noexcept;
    /// Selects device `unit` without asking anybody, and gives its status.
    Value<Status> select_blindly(unsigned unit) noexcept;
    /// The signature of the selected device; meaningful after a reset, once it is not busy.
    Signature signature() const noexcept;
    /// True when the selected device's registers hold what is written to them: something is there.
    bool registers_respond() const noexcept;

  private:
    /// Most fields of an Ending, after its status was read.
    void read_reason(Ending& ending) const noexcept;
    /// Only where there is one: whoever issues DMA commands has asked.
    const RegisterBlock<8>& bus_master() const noexcept {
        return *windows_.bus_master;  // NOLINT(bugprone-unchecked-optional-access)
    }

    ChannelWindows windows_;
    std::uint8_t device_bits_ = 0xa0;               ///< bits 7 and 5 were ones in the first standards
    bool selected_ = false;                         ///< a device was selected since the last reset
    bool extended_ = false;                         ///< of the command issued last
    Value<BusMasterCommand> bus_master_command_{};  ///< what was written last
    Value<BusMasterStatus> bus_master_status_{};    ///< what was read last
    bool bus_master_known_ = false;                 ///< the two above are right, and nothing is pending
};

}  // namespace outboard::ide
