// One ATA disk on a channel: its registers, its commands, its data (ATA/ATAPI-6, clauses 7 to 9).
#pragma once

#include "outboard/sim/fault_injector.hpp"
#include "outboard/sim/models/ide_breaches.hpp"
#include "outboard/sim/models/ide_commands.hpp"
#include "outboard/sim/models/ide_identify.hpp"
#include "outboard/sim/models/ide_registers.hpp"
#include "outboard/sim/storage.hpp"
#include "outboard/sim/timers.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace outboard::sim {

/// Sectors that cannot be read.
struct BadSectors {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

struct IdeDiskOptions {
    StorageOptions storage;  ///< its block size is that of a logical sector: 512 or 4096
    std::string serial{};
    std::string model = "Outboard simulated ATA disk";
    std::string firmware = "1.0";
    bool write_cache = true;  ///< it has a volatile one, on at first
    bool extended = true;     ///< has the 48-bit commands
    Duration latency{};       ///< what each command that reaches the medium takes
    Duration reset_time{};    ///< from the end of a software reset until it is ready
    std::vector<BadSectors> bad{};
};

/// What a disk tells its channel.
class IdeDiskHost {
  public:
    /// interrupt() has changed.
    virtual void interrupt_changed() = 0;
    /// dma_wanted() has become true.
    virtual void dma_ready() = 0;

  protected:
    ~IdeDiskHost() = default;
};

/// The channel passes on what reaches the cable: writes of the command block go to both disks, commands to
/// the selected one. One thread.
class IdeDisk {
  public:
    /// The references outlive it. Throws Error.
    IdeDisk(const IdeDiskOptions& options, unsigned unit, IdeDiskHost& host, Timers& timers,
            IdeBreaches& breaches, FaultInjector& faults);

    // ---- registers ----

    /// Status without any effect: alternate status.
    std::uint8_t status() const noexcept;
    /// The status register: takes the interrupt away.
    std::uint8_t read_status();
    /// Error … device.
    std::uint8_t read(ata::Register place) const noexcept;
    /// Features … device; nothing while busy() or transferring.
    void write(ata::Register place, std::uint8_t value) noexcept;
    void show_high_order_byte(bool on) noexcept { high_order_byte_ = on; }
    std::uint16_t read_data();
    void write_data(std::uint16_t word);
    /// The command register.
    void execute(std::uint8_t opcode);

    /// Takes neither commands nor parameters.
    bool occupied() const noexcept { return busy_ || data_request_; }
    bool interrupt() const noexcept { return interrupt_; }

    // ---- reset ----

    void power_on();
    void hold_reset();
    void release_reset();
    /// The channel's part of EXECUTE DEVICE DIAGNOSTIC.
    void diagnose(bool interrupts);

    // ---- the bus master's side of a DMA command ----

    bool dma_wanted() const noexcept { return dma_ != Dma::none; }
    bool dma_to_memory() const noexcept { return dma_ == Dma::to_memory; }
    std::uint64_t dma_left() const noexcept { return dma_left_; }
    /// Fills from the disk, or takes, at most dma_left() bytes. Less than asked for when the disk fails, and
    /// then no more.
    std::size_t dma_give(std::span<std::byte> data);
    std::size_t dma_take(std::span<const std::byte> data);
    /// No byte is left, or the disk has failed: the command ends.
    void dma_end();

    Storage& storage() noexcept { return storage_; }
    const IdeSettings& settings() const noexcept { return settings_; }

  private:
    enum class Dma { none, to_memory, from_memory };
    /// How a transfer with the medium failed.
    struct Failure {
        std::uint8_t error = 0;  ///< bits of the error register; none: a device fault
        std::uint64_t lba = 0;
    };
    /// Two bytes deep: a write pushes the former one into the previous content (clause 6.16).
    struct Deep {
        std::uint8_t current = 0;
        std::uint8_t previous = 0;
    };

    // The decision points: what the host sees of each of these passes through one function.
    void raise_interrupt();
    void drop_interrupt();
    void complete();
    void fail(Failure failure);
    void end_command();
    void finish_reset();

    void put_signature() noexcept;
    void revert_settings() noexcept;
    bool reaches_medium() const noexcept;
    void after_latency(void (IdeDisk::*action)());
    void drop_command() noexcept;

    // Commands (ide_disk_commands.cpp).
    std::uint64_t lba() const noexcept;
    std::uint32_t sectors() const noexcept;
    bool plan(const IdeCommand& command);
    void start();
    void run_non_data();
    bool change_feature();
    bool change_transfer_mode(std::uint8_t mode) noexcept;
    bool change_multiple(std::uint8_t sectors) noexcept;
    bool trim_ranges();

    // Data (ide_disk_data.cpp).
    void offer_block();
    void take_block();
    void end_pio_out();
    void offer_dma();
    bool fill(std::span<std::byte> data);
    bool store(std::span<const std::byte> data);
    std::optional<Failure> check_readable(std::uint64_t offset, std::size_t size) const noexcept;
    Durability durability() const noexcept;

    IdeDiskOptions options_;
    IdeDiskHost& host_;
    Timers& timers_;
    IdeBreaches& breaches_;
    FaultInjector& faults_;
    Storage storage_;
    IdeIdentity identity_;
    IdeSettings settings_;

    std::array<Deep, 8> registers_{};
    std::uint8_t error_ = 0;
    bool high_order_byte_ = false;
    bool busy_ = false;
    bool data_request_ = false;
    bool failed_ = false;  ///< ERR
    bool fault_ = false;   ///< DF
    bool interrupt_ = false;
    bool in_reset_ = false;
    std::optional<Timers::Id> timer_;

    IdeCommand command_{};           ///< what goes on while occupied()
    std::uint64_t offset_ = 0;       ///< bytes: where on the disk it goes on
    std::uint64_t left_ = 0;         ///< bytes that are still to be moved from or to the medium
    std::vector<std::byte> buffer_;  ///< PIO: the block that moves; DMA: what has come and is not stored yet
    std::size_t moved_ = 0;          ///< bytes of the block
    Dma dma_ = Dma::none;
    std::uint64_t dma_left_ = 0;
    std::optional<Failure> failure_;
};

}  // namespace outboard::sim
