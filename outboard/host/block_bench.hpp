// Load on a BlockDevice, straight through the driver's interface, and what it cost.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/host/latency_histogram.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace outboard {

struct BlockBenchOptions {
    bool random = true;            ///< offsets at random, otherwise ascending and from the start again
    unsigned read_percent = 100;   ///< of the requests; the others write
    std::uint32_t io_size = 4096;  ///< bytes of a request; a multiple of the disk's block size
    std::uint16_t depth = 32;      ///< requests outstanding
    std::uint64_t offset = 0;      ///< first byte used; a multiple of the block size
    std::uint64_t size = 0;        ///< bytes used from there; 0: to the end
    std::chrono::nanoseconds duration = std::chrono::seconds(10);  ///< that is measured
    std::chrono::nanoseconds warmup{0};                            ///< before it, not measured
    bool verify =
        false;  ///< writes carry a pattern, reads check it, and what was written is read back at the end
    std::uint64_t seed = 1;  ///< of offsets, of the mix and of the pattern
    /// Requests a second; 0: as many as there can be. Each has its time, and its latency counts from then.
    double rate = 0;
    /// Ends the run early, without reading back, once somebody sets it.
    const std::atomic<bool>* stop = nullptr;
};

struct BlockBenchResult {
    std::uint64_t requests = 0;  ///< finished in the measured time, well or not
    std::uint64_t bytes = 0;     ///< moved by those that finished well
    std::uint64_t errors = 0;    ///< requests that failed and blocks that differ, at any time of the run
    BlockStatus first_error = BlockStatus::ok;  ///< of the first request that failed
    std::uint64_t blocks_verified = 0;          ///< io_size each
    std::uint64_t blocks_differing = 0;         ///< of them; counted in `errors` too
    std::chrono::nanoseconds elapsed{0};        ///< measured time
    std::chrono::nanoseconds cpu{0};            ///< of the threads of the load, system time included
    LatencyHistogram latency;                   ///< nanoseconds from submit to reap
};

/// Bytes of arena that one thread of a run with these options takes.
std::size_t block_bench_arena_bytes(const BlockBenchOptions& options) noexcept;

/// Runs the load on the calling thread, turning `loop`, that of the disk's driver, until it is over; every
/// request has been reaped on return. `progress` is called about four times a second with the part done, 0 …
/// 1; empty: no timer runs. Throws Error when the options do not fit the disk.
std::unique_ptr<BlockBenchResult> run_block_bench(RunLoop& loop, BlockDevice& disk,
                                                  const BlockBenchOptions& options,
                                                  const std::function<void(double)>& progress = {});

/// Adds one result to another, as of loads that ran at the same time.
void add(BlockBenchResult& total, const BlockBenchResult& part) noexcept;

struct BenchThreads {
    unsigned threads = 1;                ///< a disk; each opens a queue of its own
    std::vector<unsigned> processors{};  ///< where they run, in turn; empty: anywhere
};

/// The same on several threads and disks, one result for each disk. All threads begin together. A run in
/// order, or one that verifies, gives each thread a part of the range. One thread and one disk: on the
/// calling thread. Otherwise `loop` turns meanwhile, as all drivers here were started on it. Throws Error.
std::vector<std::unique_ptr<BlockBenchResult>> run_block_benches(
    RunLoop& loop, std::span<BlockDevice* const> disks, const BlockBenchOptions& options,
    const BenchThreads& threads, const std::function<void(double)>& progress = {});

}  // namespace outboard
