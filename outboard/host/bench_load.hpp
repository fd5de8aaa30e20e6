// One thread's load on a disk: what a benchmark runs.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/host/bench_pattern.hpp"
#include "outboard/host/block_bench.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace outboard {

/// Requests that fit into the range of the options. Throws Error when options and disk do not go together.
std::uint64_t bench_blocks(const BlockInfo& info, const BlockBenchOptions& options);

/// Keeps `depth` requests with the disk until time is over, then reads back what was written.
class BenchLoad final : public Poller {
  public:
    BenchLoad(RunLoop& loop, BlockDevice& disk, const BlockBenchOptions& options, std::uint64_t blocks);

    /// Turns the loop until all is done. As run_block_bench.
    std::unique_ptr<BlockBenchResult> run(const std::function<void(double)>& progress);
    /// Gives queue and memory back, after the run.
    void close() noexcept;

  private:
    enum class Phase { warmup, measure, drain, read_back, done };

    struct Slot {
        BlockRequest request;
        DmaSpan segment;
        TimePoint submitted;
        std::uint64_t block = 0;
    };

    TimePoint poll(TimePoint now) noexcept override;
    void change_phase(TimePoint now) noexcept;
    void finish(Slot& slot, TimePoint now) noexcept;
    void check(const Slot& slot) noexcept;
    bool fill(Slot& slot) noexcept;
    bool stopped() const noexcept { return options_.stop && *options_.stop; }
    std::optional<std::uint64_t> next_block() noexcept;
    void submit(TimePoint now) noexcept;
    Task<void> report(const std::function<void(double)>& progress);

    RunLoop* loop_;
    BlockBenchOptions options_;
    std::uint64_t blocks_;
    std::optional<DmaPool> pool_;
    std::unique_ptr<BlockQueue> queue_;
    std::vector<Slot> slots_;
    std::vector<BlockRequest*> idle_;     ///< slots without a request
    std::vector<BlockRequest*> waiting_;  ///< filled in, not yet taken by the disk
    std::vector<BlockRequest*> reaped_;
    std::size_t with_disk_ = 0;

    bench::RandomNumbers random_;
    std::uint64_t sequential_ = 0;
    std::vector<std::uint16_t>
        generations_;                 ///< per block: how often it was written; empty without verification
    std::vector<std::uint8_t> busy_;  ///< per block: a request is with the disk

    Duration interval_{};  ///< between requests; zero: there is no rate
    TimePoint due_{};      ///< when the next has its time
    Phase phase_ = Phase::warmup;
    TimePoint phase_start_;
    std::chrono::nanoseconds cpu_start_{0};
    std::unique_ptr<BlockBenchResult> result_ = std::make_unique<BlockBenchResult>();
    Task<void> reporter_;  ///< goes first: it looks at the others
};

}  // namespace outboard
