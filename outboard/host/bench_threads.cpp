// A benchmark on several threads and disks.
#include "outboard/base/error.hpp"
#include "outboard/host/bench_load.hpp"
#include "outboard/host/block_bench.hpp"
#include "outboard/runtime/pin_thread.hpp"
#include "outboard/runtime/task.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include <fmt/format.h>

namespace outboard {

namespace {

/// What the threads of a run have in common.
struct Together {
    explicit Together(std::ptrdiff_t threads) : start(threads), left(threads) {}

    std::barrier<> start;
    std::mutex setting_up;  ///< queues and memory come from the driver and its arena, one thread at a time
    std::atomic<std::ptrdiff_t> left;
    std::atomic<bool> stop{false};  ///< one has failed, or the user has asked
};

struct Worker {
    BlockDevice* disk = nullptr;
    BlockBenchOptions options;
    std::optional<unsigned> processor;
    std::unique_ptr<BlockBenchResult> result;
    std::exception_ptr failure;
    std::thread thread;
};

void work(Worker& worker, Together& together) {
    bool arrived = false;
    try {
        if (worker.processor)
            pin_thread(*worker.processor);
        RunLoop loop;
        std::unique_lock lock(together.setting_up);
        BenchLoad load(loop, *worker.disk, worker.options, bench_blocks(worker.disk->info(), worker.options));
        lock.unlock();
        arrived = true;
        together.start.arrive_and_wait();
        worker.result = load.run({});
        // Its memory and its queue go back.
        lock.lock();
        load.close();
    } catch (...) {
        worker.failure = std::current_exception();
        together.stop = true;
        if (!arrived)
            together.start.arrive_and_drop();
    }
    --together.left;
}

/// The part of the range that thread `index` of `count` has.
BlockBenchOptions part_of(const BlockBenchOptions& options, const BlockInfo& info, unsigned index,
                          unsigned count) {
    BlockBenchOptions part = options;
    part.seed = options.seed + index;
    part.rate = options.rate / count;
    if (count == 1 || (options.random && !options.verify))
        return part;
    const std::uint64_t blocks = bench_blocks(info, options) / count;
    if (blocks == 0)
        throw Error({.kind = ErrorKind::usage,
                     .action = "measure",
                     .subject = info.model,
                     .cause = fmt::format("the range has fewer requests than there are threads ({})", count),
                     .remedy = "use a larger --size, or fewer threads"});
    part.offset = options.offset + index * blocks * options.io_size;
    part.size = blocks * options.io_size;
    return part;
}

/// Until the last thread has ended; tells how far the time is, and passes on that somebody wants it to stop.
Task<void> follow(RunLoop& loop, Together& together, const BlockBenchOptions& options,
                  const std::function<void(double)>& progress) {
    const auto total = std::chrono::duration<double>(options.warmup + options.duration).count();
    const TimePoint begin = Clock::now();
    while (together.left != 0) {
        co_await loop.sleep_for(std::chrono::milliseconds(20));
        if (options.stop && *options.stop)
            together.stop = true;
        if (progress)
            progress(std::min(1.0, std::chrono::duration<double>(Clock::now() - begin).count() / total));
    }
}

}  // namespace

void add(BlockBenchResult& total, const BlockBenchResult& part) noexcept {
    total.requests += part.requests;
    total.bytes += part.bytes;
    total.errors += part.errors;
    if (total.first_error == BlockStatus::ok)
        total.first_error = part.first_error;
    total.blocks_verified += part.blocks_verified;
    total.blocks_differing += part.blocks_differing;
    total.elapsed = std::max(total.elapsed, part.elapsed);
    total.cpu += part.cpu;
    total.latency.merge(part.latency);
}

std::vector<std::unique_ptr<BlockBenchResult>> run_block_benches(
    RunLoop& loop, std::span<BlockDevice* const> disks, const BlockBenchOptions& options,
    const BenchThreads& threads, const std::function<void(double)>& progress) {
    std::vector<std::unique_ptr<BlockBenchResult>> results;
    if (disks.size() == 1 && threads.threads == 1) {
        if (!threads.processors.empty())
            pin_thread(threads.processors.front());
        results.push_back(run_block_bench(loop, *disks.front(), options, progress));
        return results;
    }
    std::vector<Worker> workers(disks.size() * threads.threads);
    Together together(static_cast<std::ptrdiff_t>(workers.size()));
    for (std::size_t i = 0; i < workers.size(); ++i) {
        BlockDevice& disk = *disks[i / threads.threads];
        workers[i].disk = &disk;
        workers[i].options =
            part_of(options, disk.info(), static_cast<unsigned>(i % threads.threads), threads.threads);
        workers[i].options.stop = &together.stop;
        if (!threads.processors.empty())
            workers[i].processor = threads.processors[i % threads.processors.size()];
    }
    std::exception_ptr failure;
    std::size_t started = 0;
    try {
        for (Worker& worker : workers) {
            worker.thread = std::thread([&worker, &together] { work(worker, together); });
            ++started;
        }
        loop.run(follow(loop, together, options, progress));
    } catch (const std::system_error& error) {
        failure = std::make_exception_ptr(Error({.kind = ErrorKind::failed,
                                                 .action = "start",
                                                 .subject = fmt::format("{} threads", workers.size()),
                                                 .cause = error.what(),
                                                 .remedy = "use fewer of them"}));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        together.stop = true;
        for (std::size_t i = started; i < workers.size(); ++i)
            together.start.arrive_and_drop();
    }
    for (Worker& worker : workers)
        if (worker.thread.joinable())
            worker.thread.join();
    if (failure)
        std::rethrow_exception(failure);
    for (const Worker& worker : workers)
        if (worker.failure)
            std::rethrow_exception(worker.failure);
    for (std::size_t i = 0; i < workers.size(); ++i) {
        if (i % threads.threads == 0)
            results.push_back(std::make_unique<BlockBenchResult>());
        add(*results.back(), *workers[i].result);
    }
    return results;
}

}  // namespace outboard
