// A port of the HBA and the disk behind it: registers, command slots, FISes (AHCI 1.3.1, 3.3 and clause 5).
#pragma once

#include "outboard/sim/dma_memory.hpp"
#include "outboard/sim/fault_injector.hpp"
#include "outboard/sim/models/ahci/disk.hpp"
#include "outboard/sim/models/ahci/registers.hpp"
#include "outboard/sim/models/ahci/transfer.hpp"
#include "outboard/sim/models/ide_breaches.hpp"
#include "outboard/sim/timers.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace outboard::sim::ahci {

/// What a port needs of its HBA.
class PortHost {
  public:
    virtual DmaMemory& memory() noexcept = 0;
    virtual Timers& clock() noexcept = 0;
    virtual FaultInjector& injector() noexcept = 0;
    /// Bits of PxIS that PxIE lets through have risen.
    virtual void interrupt_rose(unsigned port) = 0;
    /// PxIS or PxIE has changed otherwise.
    virtual void interrupt_changed() = 0;
    /// The device is pulled out.
    virtual void pull_out() = 0;

  protected:
    ~PortHost() = default;
};

struct PortSettings {
    unsigned number = 0;
    unsigned slots = most_slots;
    bool staggered = false;  ///< the link comes up once the disk is told to spin up
};

class Port {
  public:
    /// The references outlive it. Throws Error.
    Port(PortHost& host, IdeBreaches& breaches, const PortSettings& settings,
         const std::optional<DiskOptions>& disk);

    std::uint32_t read(unsigned place) const noexcept;
    void write(unsigned place, std::uint32_t value);
    /// PxIS as PxIE lets it through.
    std::uint32_t interrupts() const noexcept { return interrupt_status_ & interrupt_enable_; }

    /// A reset of the HBA; `power`: of the disk as well.
    void reset(bool power);
    /// Null where there is none.
    Disk* disk() noexcept { return disk_ ? &*disk_ : nullptr; }
    /// The disk is pulled out of the running port, or put back.
    void plug(bool in);

  private:
    /// A command that was fetched.
    struct Work {
        bool taken = false;
        Request request{};
        std::uint64_t table = 0;
        unsigned entries = 0;
        std::optional<Timers::Id> timer{};
    };

    bool running() const noexcept { return (command_ & cmd_start) != 0 && !halted_; }
    bool present() const noexcept { return disk_ && plugged_; }
    void write_command(std::uint32_t value);
    void write_link_control(std::uint32_t value);
    void stop();
    void link_comes_up();
    void link_goes_down();
    void disk_is_ready();
    void raise(std::uint32_t bits);
    void drop_timers() noexcept;
    template <class Action>
    void later(Work& work, Duration delay, Action action);

    // Commands (port_commands.cpp).
    void fetch();
    bool misses_command(unsigned slot);
    bool take(unsigned slot);
    void control_fis(unsigned slot, std::uint8_t control);
    void start(unsigned slot);
    void carry_out(unsigned slot, const Plan& plan);
    void tell_end(unsigned slot, const Plan& plan);
    void fail(unsigned slot, std::uint8_t error);
    void fail_host(Moved::Fault fault);
    void send(unsigned place, std::span<const std::uint8_t> fis);
    void send_register_fis();
    void send_set_bits(std::uint32_t slots);

    PortHost& host_;
    IdeBreaches& breaches_;
    PortSettings settings_;
    std::optional<Disk> disk_;
    Transfer transfer_;
    bool plugged_ = true;

    std::uint64_t list_ = 0;
    std::uint64_t fis_ = 0;
    std::uint32_t interrupt_status_ = 0;
    std::uint32_t interrupt_enable_ = 0;
    std::uint32_t command_ = 0;
    std::uint8_t status_ = task_file_without_disk;
    std::uint8_t error_ = 0;
    std::uint32_t signature_ = no_signature;
    std::uint32_t link_status_ = 0;
    std::uint32_t link_control_ = 0;
    std::uint32_t link_error_ = 0;
    std::uint32_t active_ = 0;
    std::uint32_t issue_ = 0;

    std::array<Work, most_slots> work_;
    std::optional<unsigned> single_;  ///< the slot of the command that goes on without queuing
    bool halted_ = false;             ///< an error: nothing goes on until ST is cleared
    bool hung_ = false;               ///< busy until a reset of the disk
    bool in_soft_reset_ = false;
    std::optional<Timers::Id> reset_timer_;
};

}  // namespace outboard::sim::ahci
