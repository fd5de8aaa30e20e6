// One port and the disk behind it: block requests become commands, and ended commands answers. Plain
// functions without allocation, exception or lock, on the loop of the driver.
//
//     empty ──bring_up()──► ready ──(an error, a deadline, the link)──► stopped ──attend()──► ready
//                             └──────────────(the disk has gone)────────────────────────────► empty
//        any ──lose()──► lost
//
// While it is stopped the requests stay in their slots; the controller's service calls attend(), which finds
// out what has failed and starts the rest again.
#pragma once

#include "outboard/ata/command.hpp"
#include "outboard/ata/identify.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/classes/request_chain.hpp"
#include "outboard/device/dma_arena.hpp"
#include "outboard/drivers/ahci/port_link.hpp"
#include "outboard/runtime/task.hpp"
#include "outboard/runtime/wait_judge.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace outboard::ahci {

/// What all ports of an HBA have in common.
struct PortOptions {
    unsigned slots = 1;                 ///< that the HBA has, 1 … 32
    bool queuing = false;               ///< it has native command queuing
    std::uint64_t address_limit = 0;    ///< beyond the highest address it reaches
    bool interrupts = false;            ///< ended commands are told of; otherwise they are looked for
    bool adaptive = false;              ///< with interrupts: they are looked for while that is better
    std::optional<bool> write_cache{};  ///< nothing: as the disk has it
    Limits limits{};
    std::function<void(std::string_view)> report{};  ///< may be empty
    std::function<void()> call{};                    ///< attend() is needed
    std::function<void()> acknowledge{};             ///< clears the port's bit in the HBA's interrupt status
};

class Port {
  public:
    /// Bytes of the arena.
    static constexpr std::size_t dma_bytes = sizeof(PortMemory);
    /// Most bytes of one command.
    static constexpr std::uint32_t max_command_bytes = 1U << 20;
    /// How often a command is sent before its request is given up: after an error, after a time-out, and when
    /// resets came between that it did not cause.
    static constexpr unsigned attempts = 3;
    static constexpr unsigned attempts_timed_out = 2;
    static constexpr unsigned attempts_interrupted = 8;

    /// Throws Error when the arena has no room. Registers, loop and arena outlive it.
    Port(DmaArena& arena, RunLoop& loop, const PortRegisters& registers, PortOptions options,
         std::string name);
    Port(const Port&) = delete;
    Port& operator=(const Port&) = delete;
    Port(Port&&) = delete;
    Port& operator=(Port&&) = delete;
    ~Port() = default;

    // ---- the controller's ----

    /// After a reset of the HBA: power and memory. Then wait_for_link.
    void prepare() noexcept;
    bool link_up() const noexcept { return link_is_up(registers_); }
    /// Until the link is up. False when it is not in time.
    Task<bool> wait_for_disk(Duration limit) { return wait_for_link(access(), limit); }
    /// bring_up() has found a disk, and restart() puts it to work.
    bool raised() const noexcept { return raised_; }
    /// It had a disk that is not known to have been taken away.
    bool expects_disk() const noexcept { return identity_ && !gone_ && state_ != State::lost; }
    /// Finds out what is behind the port, and sets it up. Without a disk that can be driven it is empty
    /// afterwards, and has told why. Nothing goes to the disk before restart(). A port that had a disk takes
    /// only the same one. Throws Error when what is there does not answer as it must.
    Task<void> bring_up();
    /// The HBA is going to be reset: commands end there without an answer.
    void interrupt_commands() noexcept;
    /// After bring_up(): puts the disk to work, with what was interrupted first.
    void restart() noexcept;
    /// Puts right what call() was about. Throws Error when only a reset of the HBA can.
    Task<void> attend();
    bool wants_attention() const noexcept { return wanting_; }
    /// The disk cannot be used any more: all requests end with `removed`. The HBA writes to no memory of
    /// theirs.
    void lose() noexcept;
    /// Caches written back, nothing under way. Throws Error.
    Task<void> shut_down();
    /// The port has raised the interrupt.
    void on_interrupt() noexcept;
    void use_interrupts(bool on) noexcept { options_.interrupts = on; }

    // ---- the disk's ----

    const std::string& name() const noexcept { return name_; }
    /// Of the disk that was there first; nothing: there was none.
    const std::optional<ata::DiskIdentity>& identity() const noexcept { return identity_; }
    /// What it is and can do. The port is ready.
    BlockInfo info() const;
    /// A queue is opened. False when the disk is not there (any more).
    bool open() noexcept;

    // As in BlockQueue.
    std::size_t submit(std::span<BlockRequest* const> requests) noexcept;
    std::size_t reap(std::span<BlockRequest*> finished) noexcept;
    TimePoint next_reap(TimePoint now) const noexcept;

  private:
    enum class State : std::uint8_t { empty, ready, stopped, lost };
    /// What a slot's command does.
    enum class Step : std::uint8_t { whole, flush_behind };

    struct Slot {
        BlockRequest* request = nullptr;
        TimePoint deadline{};          ///< the clock's epoch: not decided yet
        std::uint8_t failed = 0;       ///< tries that ended with an error
        std::uint8_t late = 0;         ///< tries that timed out
        std::uint8_t interrupted = 0;  ///< tries that ended because of others
        Step step = Step::whole;
        bool timed_out = false;  ///< the reset is because of this one
    };

    /// Why the port is stopped.
    struct Trouble {
        std::uint32_t interrupts = 0;  ///< PxIS
        std::uint32_t timed_out = 0;   ///< slots
        bool breach = false;           ///< the HBA has shown what cannot be
    };

    PortAccess access() noexcept {
        return {.registers = registers_,
                .memory = *memory_,
                .iova = buffer_.iova(),
                .loop = loop_,
                .limits = options_.limits,
                .name = name_};
    }
    template <class Make>
    void tell(Make&& make) const noexcept;

    // Starting (port.cpp).
    BlockStatus check(const BlockRequest& request) const noexcept;
    bool goes_queued(unsigned index) const noexcept;
    ata::TaskFile task_of(unsigned index, bool queued) const noexcept;
    bool prepare_slot(unsigned index) noexcept;
    void start_ready() noexcept;
    Task<void> raise();
    void issue(std::uint32_t slots, bool queued) noexcept;
    void choose_completion() noexcept;
    void enable_interrupts() const noexcept;
    bool looks() const noexcept { return looking_ || !options_.interrupts; }

    // Finishing.
    void look() noexcept;
    void ended(unsigned index) noexcept;
    void give_back(unsigned index, BlockStatus status) noexcept;
    void check_clock(TimePoint now) noexcept;

    // What goes wrong (port_recovery.cpp).
    void stop(const Trouble& trouble) noexcept;
    Task<void> recover();
    void tell_why(const Trouble& trouble) const noexcept;
    Task<bool> settle_failure(std::uint8_t status, std::uint8_t error);
    Task<void> reset_disk();
    Task<void> configure();
    Task<bool> name_culprit();
    void count_tries(std::uint32_t timed_out) noexcept;
    void failed(unsigned index, std::uint8_t status, std::uint8_t error) noexcept;
    void disk_left() noexcept;
    Task<void> disk_came();
    bool is_same(const ata::DiskIdentity& found) const noexcept;
    void end_all(BlockStatus status) noexcept;

    RunLoop& loop_;
    PortRegisters registers_;
    PortOptions options_;
    std::string name_;
    DmaBuffer buffer_;
    PortMemory* memory_;
    Duration check_interval_;

    State state_ = State::empty;
    bool wanting_ = false;
    Trouble trouble_;

    // Of the disk.
    std::optional<ata::DiskIdentity> identity_;
    bool queued_ = false;
    std::uint16_t depth_ = 1;
    std::uint64_t capacity_ = 0;
    std::uint32_t max_transfer_ = 0;
    std::uint32_t max_discard_ = 0;
    unsigned sector_shift_ = 9;
    bool cache_ = false;   ///< a flush is needed for data to be stable
    bool gone_ = false;    ///< for the queue that is open: it was there when that was opened
    bool raised_ = false;  ///< brought up, and not yet at work

    std::array<Slot, 32> slots_;
    std::uint32_t used_ = 0;          ///< slots with a request
    std::uint32_t ready_queued_ = 0;  ///< of these: to be issued by native command queuing
    std::uint32_t ready_single_ = 0;  ///< to be issued alone
    std::uint32_t issued_ = 0;        ///< at the disk
    std::uint32_t isolated_ = 0;      ///< one of these has failed: they go alone, so that it is seen which
    bool issued_queued_ = false;      ///< those in issued_ are queued commands
    bool more_single_ = false;        ///< queued commands went last
    /// The interrupt of ended commands is off, and they are looked for.
    bool looking_ = false;
    /// Learns from being asked when to reap, which changes nothing that a caller sees.
    mutable WaitJudge judge_;
    std::uint64_t given_back_ = 0;
    std::size_t outstanding_ = 0;  ///< taken and not given back
    RequestChain finished_;
    unsigned empty_looks_ = 0;
    TimePoint next_check_{};
};

}  // namespace outboard::ahci
