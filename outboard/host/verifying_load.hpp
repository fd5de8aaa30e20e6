// Requests at random on a disk, each checked against what the disk must hold: for devices that go wrong.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/host/bench_pattern.hpp"
#include "outboard/host/sector_ledger.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace outboard {

struct LoadCounts {
    std::uint64_t requests = 0;    ///< ended, well or not
    std::uint64_t failed = 0;      ///< of them
    std::uint64_t removed = 0;     ///< of these: the driver has given the device up
    std::uint64_t mismatches = 0;  ///< sectors that were read with good status and cannot hold that
};

/// Reads, writes and flushes of up to `max_bytes`, never two at once for the same sector. The ledger is the
/// caller's and outlives the load, so that a device can be opened again and checked on. Used by the thread of
/// the loop.
class VerifyingLoad final : private Poller {
  public:
    static constexpr unsigned depth = 8;
    static constexpr std::uint32_t max_bytes = 32768;
    /// Bytes of arena that it takes.
    static constexpr std::size_t arena_bytes = std::size_t{depth} * max_bytes;

    /// Loop, disk and ledger outlive it. Throws Error.
    VerifyingLoad(RunLoop& loop, BlockDevice& disk, SectorLedger& ledger, std::uint64_t seed);
    VerifyingLoad(const VerifyingLoad&) = delete;
    VerifyingLoad& operator=(const VerifyingLoad&) = delete;
    VerifyingLoad(VerifyingLoad&&) = delete;
    VerifyingLoad& operator=(VerifyingLoad&&) = delete;
    /// Nothing may be outstanding.
    ~VerifyingLoad();

    /// Submits new requests from now on, or only waits for those that are outstanding.
    void submit(bool on) noexcept { submitting_ = on; }
    /// One turn of the loop, at most until `deadline`.
    void turn(TimePoint deadline) { loop_->turn(deadline); }

    std::size_t outstanding() const noexcept { return with_disk_ + waiting_.size(); }
    const LoadCounts& counts() const noexcept { return counts_; }

    /// Makes zeros of all sectors, durably. Turns the loop; nothing may be outstanding. False when it failed.
    bool write_zeroes(TimePoint deadline);
    /// Forgets which writes have ended.
    void begin_window() noexcept { window_.clear(); }
    /// Writes the sectors of all writes that have ended since begin_window() once more, because nobody knows
    /// what a fault has made of them. Turns the loop; nothing may be outstanding. False when one failed.
    bool rewrite_window(TimePoint deadline);

  private:
    struct Slot {
        BlockRequest request;
        DmaSpan buffer;
        DmaSpan segment;
        std::uint64_t first = 0;  ///< sector
        std::uint64_t count = 0;
        SectorLedger::Generation generation = 0;  ///< of a write; of a flush: the last that had ended
    };
    struct Range {
        std::uint64_t first = 0;
        std::uint64_t count = 0;
    };

    TimePoint poll(TimePoint now) noexcept override;
    void finish(Slot& slot) noexcept;
    void fill(Slot& slot) noexcept;
    bool choose(Slot& slot) noexcept;
    void make_write(Slot& slot) noexcept;
    void start(Slot& slot);
    Slot& start_write(const Range& range, bool force_unit_access);
    bool finish_writes(TimePoint deadline);

    RunLoop* loop_;
    SectorLedger* ledger_;
    DmaPool pool_;
    std::unique_ptr<BlockQueue> queue_;
    bench::RandomNumbers random_;
    std::vector<Slot> slots_;
    std::vector<BlockRequest*> idle_;
    std::vector<BlockRequest*> waiting_;
    std::vector<BlockRequest*> reaped_;
    std::vector<std::uint8_t> busy_;  ///< per sector: a request is outstanding
    std::vector<Range> window_;
    std::size_t with_disk_ = 0;
    bool submitting_ = false;
    LoadCounts counts_;
};

}  // namespace outboard
