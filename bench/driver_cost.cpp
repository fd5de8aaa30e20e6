// What the NVMe driver itself costs: nanoseconds for one 4 KiB read, its submission and its reaping, while
// the simulated controller answers on another processor. Waiting for the controller is not counted: looks
// that found nothing are left out. Beside it `lean`, the least that any driver does: a command written into
// the ring, a doorbell, a completion matched with its request, and no check of anything.
#include "outboard/base/error.hpp"
#include "outboard/classes/block_io.hpp"
#include "outboard/host/device_host.hpp"
#include "outboard/runtime/pin_thread.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/cycles.hpp"
#include "bench/raw_nvme.hpp"
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

namespace outboard::bench {
namespace {

constexpr std::uint64_t io_bytes = 4096;
constexpr unsigned max_depth = 128;
constexpr unsigned batch = 32;         ///< of submissions and of reaping, where the depth allows it
constexpr unsigned round_size = 8192;  ///< reads a measured piece
/// A call that takes longer was interrupted by the machine, and counts as nothing.
constexpr std::uint64_t interrupted_cycles = 50000;
constexpr unsigned driver_processor = 0;
constexpr unsigned device_processor = 1;

/// Where the controller is, and what the clock says.
struct Bench {
    std::string socket;
    std::uint64_t overhead = cycles_overhead();
    double per_nanosecond = cycles_per_nanosecond();
};

const Bench* bench_of_this_run = nullptr;

/// Offsets far apart, without a division.
std::uint64_t offset_of(std::uint32_t number) {
    return std::uint64_t{number * 2654435761U >> 4} * io_bytes;
}

/// The lean loop: requests are numbers, and their state is a flag.
class Lean {
  public:
    struct Request {
        std::uint64_t offset = 0;
        std::uint64_t iova = 0;
        std::uint16_t number = 0;
        bool done = false;
    };

    explicit Lean(const std::string& socket) : client_(socket, 256), queue_(client_.queue()) {
        for (std::uint16_t i = 0; i < max_depth; ++i)
            requests_[i] = {.iova = client_.data() + io_bytes * i, .number = i};
    }

    Request& request(unsigned index) { return requests_[index]; }
    static void aim(Request& request, std::uint64_t offset) {
        request.offset = offset;
        request.done = false;
    }

    void submit(std::span<Request* const> requests) {
        for (const Request* const request : requests) {
            const std::uint64_t block = request->offset >> 12;
            queue_.put({0x02U | std::uint32_t{request->number} << 16, 1, 0, 0, 0, 0,
                        static_cast<std::uint32_t>(request->iova),
                        static_cast<std::uint32_t>(request->iova >> 32), 0, 0,
                        static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0, 0,
                        0});
        }
        queue_.ring();
    }
    std::size_t reap(std::span<Request*> finished) {
        std::size_t count = 0;
        return queue_.reap(static_cast<unsigned>(finished.size()), [&](std::uint16_t identifier) {
            Request& request = requests_[identifier];
            request.done = true;
            finished[count++] = &request;
        });
    }

  private:
    RawClient client_;
    RawQueue& queue_;
    std::array<Request, max_depth> requests_{};
};

/// The same through the driver.
class Driven {
  public:
    using Request = BlockRequest;

    explicit Driven(const std::string& socket) {
        DeviceHostOptions options{.device = DeviceName::parse("vfio-user:" + socket), .driver = {}};
        options.driver.completion = CompletionMode::poll;
        options.arena_bytes = max_depth * io_bytes;
        host_ = loop_.run(DeviceHost::open(loop_, std::move(options)));
        BlockDevice& disk = host_->disk(0);
        pool_.emplace(disk.arena(), io_bytes, max_depth, io_bytes);
        queue_ = disk.open_queue(loop_);
        for (unsigned i = 0; i < max_depth; ++i) {
            segments_[i] = (*pool_)[i];
            requests_[i].data = {&segments_[i], 1};
            requests_[i].length = io_bytes;
        }
    }
    Driven(const Driven&) = delete;
    Driven& operator=(const Driven&) = delete;
    Driven(Driven&&) = delete;
    Driven& operator=(Driven&&) = delete;
    ~Driven() {
        queue_.reset();
        pool_.reset();
        loop_.run(host_->close(true));
    }

    Request& request(unsigned index) { return requests_[index]; }
    static void aim(Request& request, std::uint64_t offset) { request.offset = offset; }

    void submit(std::span<Request* const> requests) { queue_->submit(requests); }
    std::size_t reap(std::span<Request*> finished) {
        const std::size_t count = queue_->reap(finished);
        for (const Request* const request : finished.first(count))
            if (request->status != BlockStatus::ok)
                throw Error({.kind = ErrorKind::io,
                             .action = "read from",
                             .subject = "the simulated controller",
                             .cause = to_string(request->status),
                             .remedy = ""});
        return count;
    }

  private:
    RunLoop loop_;
    std::unique_ptr<DeviceHost> host_;
    std::optional<DmaPool> pool_;
    std::unique_ptr<BlockQueue> queue_;
    std::array<DmaSpan, max_depth> segments_{};
    alignas(64) std::array<Request, max_depth> requests_{};  // each in one cache line
};

/// Reads at random places, `depth` in flight.
template <class Queue>
class Reads {
  public:
    Reads(const std::string& socket, unsigned depth) : queue_(socket), batch_(std::min(depth, batch)) {
        for (unsigned i = 0; i < depth; ++i)
            idle_[i] = &queue_.request(i);
        idle_count_ = depth;
    }

    /// Runs `count` of them and returns the cycles that the driver took.
    std::uint64_t run(unsigned count, std::uint64_t overhead) {
        std::uint64_t cycles = 0;
        unsigned finished = 0;
        while (finished < count) {
            while (idle_count_ >= batch_) {
                const std::span<typename Queue::Request* const> requests(idle_.data() + idle_count_ - batch_,
                                                                         batch_);
                for (typename Queue::Request* const request : requests)
                    Queue::aim(*request, offset_of(next_++));
                const std::uint64_t begin = cycles_begin();
                queue_.submit(requests);
                cycles += took(begin, cycles_end(), overhead);
                idle_count_ -= batch_;
            }
            const std::uint64_t begin = cycles_begin();
            const std::size_t reaped = queue_.reap({idle_.data() + idle_count_, batch_});
            const std::uint64_t end = cycles_end();
            if (reaped == 0) {
                require_progress();
                continue;
            }
            looks_ = 0;
            cycles += took(begin, end, overhead);
            idle_count_ += reaped;
            finished += static_cast<unsigned>(reaped);
        }
        done_ += finished;
        return cycles;
    }
    std::uint64_t done() const noexcept { return done_; }

    /// Until nothing is in flight.
    void settle(unsigned depth) {
        while (idle_count_ < depth) {
            idle_count_ += queue_.reap({idle_.data() + idle_count_, batch_});
            require_progress();
        }
        looks_ = 0;
    }

    /// Calls left out because something else ran in between.
    std::uint64_t interrupted() const noexcept { return interrupted_; }

  private:
    /// Throws Error after some seconds of looks in vain.
    void require_progress() {
        constexpr std::uint64_t most = 200'000'000;
        if (++looks_ > most)
            throw Error({.kind = ErrorKind::timed_out,
                         .action = "read from",
                         .subject = "the simulated controller",
                         .cause = "it answers no more",
                         .remedy = ""});
    }
    std::uint64_t took(std::uint64_t begin, std::uint64_t end, std::uint64_t overhead) {
        if (end - begin > interrupted_cycles) {
            ++interrupted_;
            return 0;
        }
        return end - begin - std::min(overhead, end - begin);
    }

    Queue queue_;
    unsigned batch_;
    std::array<typename Queue::Request*, max_depth + batch> idle_{};
    std::size_t idle_count_ = 0;
    std::uint32_t next_ = 0;
    std::uint64_t done_ = 0;
    std::uint64_t interrupted_ = 0;
    std::uint64_t looks_ = 0;  ///< in vain, one after the other
};

template <class Queue>
void measure(benchmark::State& state) {
    const Bench& bench = *bench_of_this_run;
    const auto depth = static_cast<unsigned>(state.range(0));
    Reads<Queue> reads(bench.socket, depth);
    reads.run(round_size, bench.overhead);
    std::uint64_t cycles = 0;
    std::uint64_t requests = 0;
    while (state.KeepRunningBatch(round_size)) {
        const std::uint64_t before = reads.done();
        const std::uint64_t taken = reads.run(round_size, bench.overhead);
        const std::uint64_t done = reads.done() - before;
        cycles += taken;
        requests += done;
        // A piece may be a few requests longer than a round.
        state.SetIterationTime(static_cast<double>(taken) * round_size / static_cast<double>(done) /
                               bench.per_nanosecond / 1e9);
    }
    reads.settle(depth);
    state.counters["interrupted"] = static_cast<double>(reads.interrupted());
    state.counters["cycles"] = static_cast<double>(cycles) / static_cast<double>(requests);
}

/// Names rows as they are known, "nvme/qd:1", and collects them for the ratios.
template <class Base>
class Reporter final : public Base {
  public:
    explicit Reporter(std::map<std::string, std::vector<double>>& times) : times_(times) {}

    void ReportRuns(const std::vector<benchmark::BenchmarkReporter::Run>& runs) override {
        std::vector<benchmark::BenchmarkReporter::Run> named = runs;
        for (benchmark::BenchmarkReporter::Run& run : named) {
            run.run_name.time_type.clear();
            run.run_name.repetitions.clear();
            if (run.run_type == benchmark::BenchmarkReporter::Run::RT_Iteration)
                times_[run.run_name.str()].push_back(run.GetAdjustedRealTime());
        }
        Base::ReportRuns(named);
    }

  private:
    std::map<std::string, std::vector<double>>& times_;
};

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

/// The driver beside the lean loop, pair by pair.
void print_ratios(const std::map<std::string, std::vector<double>>& times) {
    for (const auto& [name, lean] : times) {
        if (!name.starts_with("lean/"))
            continue;
        const auto driven = times.find("nvme/" + name.substr(5));
        if (driven == times.end())
            continue;
        std::vector<double> ratios;
        for (std::size_t i = 0; i < std::min(lean.size(), driven->second.size()); ++i)
            ratios.push_back(driven->second[i] / lean[i]);
        const auto [least, most] = std::ranges::minmax(ratios);
        const double best = std::ranges::min(driven->second);
        const double best_lean = std::ranges::min(lean);
        fmt::print(stderr,
                   "{}: median {:.1f} ns, {:.2f} times the lean loop ({:.2f} to {:.2f}, {} pairs); "
                   "least {:.1f} ns, that of the lean loop {:.1f} ns: {:.2f}\n",
                   driven->first, median(driven->second), median(ratios), least, most, ratios.size(), best,
                   best_lean, best / best_lean);
    }
}

int run(int argc, char** argv) {
    const std::vector<std::string_view> words(argv, argv + argc);
    const bool json = std::ranges::find(words, "--benchmark_format=json") != words.end();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 2;
    pin_thread(device_processor);  // fails here when there is none, not on its thread
    pin_thread(driver_processor);
    const std::filesystem::path directory =
        std::filesystem::temp_directory_path() / fmt::format("driver_cost-{}", ::getpid());
    std::filesystem::create_directory(directory);
    std::map<std::string, std::vector<double>> times;
    {
        const Bench bench{.socket = (directory / "socket").string()};
        bench_of_this_run = &bench;
        benchmark::AddCustomContext("cycles_per_ns", fmt::format("{:.3f}", bench.per_nanosecond));
        const NullController controller(bench.socket, device_processor);
        if (json) {
            Reporter<benchmark::JSONReporter> reporter(times);
            benchmark::RunSpecifiedBenchmarks(&reporter);
        } else {
            Reporter<benchmark::ConsoleReporter> reporter(times);
            benchmark::RunSpecifiedBenchmarks(&reporter);
        }
        bench_of_this_run = nullptr;
    }
    std::filesystem::remove_all(directory);
    print_ratios(times);
    return 0;
}

BENCHMARK(measure<Lean>)->Name("lean")->ArgName("qd")->Arg(1)->Arg(32)->Arg(128)->UseManualTime();
BENCHMARK(measure<Driven>)->Name("nvme")->ArgName("qd")->Arg(1)->Arg(32)->Arg(128)->UseManualTime();

}  // namespace
}  // namespace outboard::bench

int main(int argc, char** argv) {
    try {
        return outboard::bench::run(argc, argv);
    } catch (const outboard::Error& error) {
        fmt::print(stderr, "driver_cost: {}\n", error.what());
        return error.exit_status();
    }
}
