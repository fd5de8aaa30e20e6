// What drives a channel: takes the requests of its two disks, has one command at a time carried out, looks
// when it is time, and recovers from what goes wrong.
//
//          kick ──► dma / non_data / pio ──► (next command) ──► idle
//                          │ time-out, broken protocol
//                          └──► recovering ──► retry, or failed
//
// Everything but the recovery is plain functions without allocation, exception or lock; the recovery is a
// coroutine.
#pragma once

#include "outboard/classes/driver.hpp"
#include "outboard/drivers/ide/bring_up.hpp"
#include "outboard/drivers/ide/channel.hpp"
#include "outboard/drivers/ide/disk.hpp"
#include "outboard/drivers/ide/prd.hpp"
#include "outboard/runtime/adaptive_poll.hpp"

#include <array>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace outboard::ide {

struct EngineOptions {
    Limits limits;
    std::optional<bool> write_cache;
    bool dma = true;                  ///< false: PIO even where DMA works
    bool free_transfer_mode = false;  ///< see ControllerQuirks
    std::uint32_t prd_largest = 0x10000;
    std::function<void(std::string_view)> report;
    /// Clears the interrupt that the controller itself has latched for this channel; empty where it latches
    /// none. Called once the device's status has been read and before the next command is issued: later, the
    /// end of that command could be cleared unseen.
    std::function<void()> acknowledge;
};

class ChannelEngine {
  public:
    /// Bytes that a channel takes from the arena: its PRD table and a block of TRIM ranges, a page each.
    static constexpr std::size_t dma_bytes = 2UL * 4096;
    /// How often a request is sent to the device before it is given up: after an error, after a time-out.
    static constexpr unsigned attempts = 3;
    static constexpr unsigned attempts_timed_out = 2;

    ChannelEngine(RunLoop& loop, DmaArena& arena, const ChannelWindows& windows, EngineOptions options,
                  std::string name);

    /// Resets the channel and finds its disks. What is there but cannot be driven is reported and left alone;
    /// a channel on which nothing answers has no disks. Throws Error when something answers and then hangs.
    Task<void> start();
    /// Waits for a recovery to end, then writes the caches of all disks to the medium. No queue may be open.
    /// Throws Error when a flush fails.
    Task<void> shut_down();

    /// Device 0 and device 1; null where there is none.
    const std::array<std::unique_ptr<Disk>, 2>& disks() const noexcept { return disks_; }
    ChannelAccess access() noexcept {
        return {.channel = channel_, .loop = loop_, .limits = options_.limits, .name = name_};
    }

    // ---- data path, for the disks' queues ----

    /// Whether the ends of DMA commands and of commands without data are told by on_interrupt; false at
    /// first: they are found by looking. PIO is always found by looking.
    void use_interrupts(bool on) noexcept { interrupts_ = on; }

    /// Starts a command when none is going on and a request waits.
    void kick() noexcept;
    /// Looks at the device when it is time to, and does what follows.
    void poll() noexcept;
    /// When poll has something to do next; max() when nothing is going on or an interrupt will tell.
    TimePoint next_look(TimePoint now) const noexcept;
    /// The controller's interrupt fired; the channel may have been the reason, or not.
    void on_interrupt() noexcept;

  private:
    /// Kinds of commands whose service times are learnt apart, for each device.
    static constexpr unsigned service_kinds = 5;
    static constexpr unsigned pio_kind = 4;

    enum class State : std::uint8_t { idle, dma, non_data, pio, recovering, failed };

    // Issuing.
    void start_next(TimePoint now) noexcept;
    bool take_batch() noexcept;
    void start_batch(TimePoint now) noexcept;
    void start_flush(TimePoint now) noexcept;
    bool fill_table() noexcept;
    bool fill_trim() noexcept;
    void issue(const TaskFile& task, TimePoint now) noexcept;
    RequestClass request_class_of_batch() const noexcept;

    // Looking.
    bool polled() const noexcept;
    void look(TimePoint now) noexcept;
    bool look_pio(TimePoint now) noexcept;
    void move_pio_block() noexcept;
    void not_yet(TimePoint now) noexcept;
    void ended(const Ending& ending, TimePoint now) noexcept;
    void acknowledge() noexcept;

    // What follows.
    void give_back(BlockStatus status) noexcept;
    void failed(const Ending& ending, TimePoint now) noexcept;
    void removed() noexcept;
    void timed_out(TimePoint now) noexcept;
    void not_ready(TimePoint now) noexcept;
    void recover(BlockStatus status, unsigned attempts_allowed) noexcept;
    Task<void> recovery();
    Task<void> recover_disk(Disk& disk, Signature signature);
    void recovered(TimePoint now) noexcept;
    void fail_disk(Disk& disk) noexcept;
    void tell(std::string_view text) const noexcept;
    /// The same for a text that has to be made: nothing is, where nobody listens.
    template <class Make>
    void tell_made(Make&& make) const noexcept;

    Task<void> start_disk(unsigned unit, Signature signature);

    RunLoop& loop_;
    DmaArena& arena_;
    Channel channel_;
    EngineOptions options_;
    std::string name_;
    std::array<std::unique_ptr<Disk>, 2> disks_;

    DmaBuffer table_memory_;
    DmaBuffer trim_memory_;
    PrdTable table_;
    CompletionPredictor predictor_;

    State state_ = State::idle;
    bool interrupts_ = false;
    unsigned turn_ = 0;       ///< the disk that is asked first for its next request
    Disk* active_ = nullptr;  ///< whose command is going on
    Batch batch_;             ///< what the command is for
    TaskFile task_;           ///< the command
    bool flushing_ = false;   ///< the command is the flush that makes the batch's writes stable
    TimePoint deadline_;
    struct {
        BlockRequest* request = nullptr;
        std::size_t segment = 0;
        std::size_t offset = 0;  ///< in the segment
        std::uint64_t left = 0;  ///< bytes of the batch
    } pio_;
    BlockStatus held_status_{};   ///< while recovering: what the batch ends with if it is not tried again
    unsigned held_attempts_ = 0;  ///< and how often it may be tried
    Task<void> recovery_;
};

template <class Make>
void ChannelEngine::tell_made(Make&& make) const noexcept {
    if (!options_.report)
        return;
    try {
        options_.report(std::forward<Make>(make)());
    } catch (const std::exception&) {
        // The text could not be made or delivered; a listener that fails must not take the disk with it, and
        // the request's status says what matters.
        return;
    }
}

}  // namespace outboard::ide
