// What each way of learning of ends costs, on the simulated NVMe controller with nothing behind it: the
// latency of single reads by looking and by interrupt, beside a bare wake-up by an eventfd; the speed of a
// busy queue and the processor time of a quiet one, adaptive beside the mode that is best there. In rounds,
// interleaved.
#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/host/block_bench.hpp"
#include "outboard/host/device_host.hpp"
#include "outboard/runtime/pin_thread.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/raw_nvme.hpp"
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outboard::bench {
namespace {

constexpr unsigned driver_processor = 0;
constexpr unsigned device_processor = 1;
constexpr double quiet_rate = 1000;  // requests a second

struct Figures {
    double p50_us;
    double iops;
    double cpu_us;
};

/// `outboard bench` on a device of its own.
Figures load(const std::string& socket, CompletionMode mode, std::uint16_t depth, double rate,
             double seconds) {
    RunLoop loop;
    BlockBenchOptions options{.depth = depth};
    options.duration =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
    options.warmup = options.duration / 10;
    options.rate = rate;
    DeviceHostOptions host_options{.device = DeviceName::parse("vfio-user:" + socket), .driver = {}};
    host_options.driver.completion = mode;
    host_options.arena_bytes = block_bench_arena_bytes(options);
    const std::unique_ptr<DeviceHost> host = loop.run(DeviceHost::open(loop, host_options));
    const auto result = run_block_bench(loop, host->disk(0), options);
    loop.run(host->close(true));
    const auto requests = static_cast<double>(std::max<std::uint64_t>(result->requests, 1));
    return {.p50_us = static_cast<double>(result->latency.percentile(0.5)) / 1000,
            .iops = requests / std::chrono::duration<double>(result->elapsed).count(),
            .cpu_us = static_cast<double>(result->cpu.count()) / 1000 / requests};
}

/// From a thread on the device's processor, which writes an eventfd, to one that has slept in read(2) on it:
/// the middle of many, in microseconds.
double bare_wake_up(double seconds) {
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    std::atomic<std::int64_t> written{0};
    std::atomic<bool> asleep{false};
    std::atomic<bool> done{false};
    const auto now = [] { return Clock::now().time_since_epoch().count(); };
    std::thread device([&] {
        pin_thread(device_processor);
        while (!done) {
            if (!asleep.exchange(false))
                continue;
            // As long as a read takes to be served, so that the other one sleeps.
            const auto begin = now();
            while (now() - begin < 1000)
                continue;
            written = now();
            ::eventfd_write(event.get(), 1);
        }
    });
    std::vector<double> times;
    const auto end = now() + static_cast<std::int64_t>(seconds * 1e9);
    while (now() < end) {
        asleep = true;
        eventfd_t count = 0;
        ::eventfd_read(event.get(), &count);
        times.push_back(static_cast<double>(now() - written) / 1000);
    }
    done = true;
    device.join();
    std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
    return times[times.size() / 2];
}

/// Median and range of the ratios of the rounds.
class Ratios {
  public:
    void add(double value) { values_.push_back(value); }
    std::string text() {
        std::ranges::sort(values_);
        return fmt::format("{:.3f} ({:.3f} to {:.3f}, {} rounds)", values_[values_.size() / 2],
                           values_.front(), values_.back(), values_.size());
    }

  private:
    std::vector<double> values_;
};

int run(int argc, char** argv) {
    unsigned rounds = 5;
    double seconds = 0.5;
    CLI::App app("Interrupts, looking, and choosing between them, on the simulated NVMe controller");
    app.add_option("--rounds", rounds, "Each measures everything once")
        ->check(CLI::Range(1U, 100U))
        ->capture_default_str();
    app.add_option("--seconds", seconds, "Length of a measurement")
        ->check(CLI::Range(0.05, 60.0))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    pin_thread(device_processor);  // fails here when there is none, not on its thread
    pin_thread(driver_processor);
    const std::filesystem::path directory =
        std::filesystem::temp_directory_path() / fmt::format("completion_modes-{}", ::getpid());
    std::filesystem::create_directory(directory);
    const std::string socket = (directory / "socket").string();
    Ratios interrupt;
    Ratios busy_single;
    Ratios busy_deep;
    Ratios quiet;
    {
        const NullController controller(socket, device_processor);
        for (unsigned round = 0; round < rounds; ++round) {
            const double wake_up = bare_wake_up(seconds);
            const Figures looking = load(socket, CompletionMode::poll, 1, 0, seconds);
            const Figures told = load(socket, CompletionMode::interrupt, 1, 0, seconds);
            const Figures single = load(socket, CompletionMode::adaptive, 1, 0, seconds);
            const Figures deep_looking = load(socket, CompletionMode::poll, 32, 0, seconds);
            const Figures deep = load(socket, CompletionMode::adaptive, 32, 0, seconds);
            const Figures quiet_told = load(socket, CompletionMode::interrupt, 1, quiet_rate, seconds);
            const Figures quiet_adaptive = load(socket, CompletionMode::adaptive, 1, quiet_rate, seconds);
            fmt::print(
                "depth 1: looking {:.2f} us, interrupt {:.2f} us, adaptive {:.2f} us; a bare wake-up {:.2f} "
                "us\n",
                looking.p50_us, told.p50_us, single.p50_us, wake_up);
            fmt::print("depth 1: looking {:.0f} IOPS, adaptive {:.0f}; depth 32: {:.0f} and {:.0f}\n",
                       looking.iops, single.iops, deep_looking.iops, deep.iops);
            fmt::print("{:.0f} a second: interrupt {:.2f} us of CPU each, adaptive {:.2f} us\n", quiet_rate,
                       quiet_told.cpu_us, quiet_adaptive.cpu_us);
            interrupt.add((told.p50_us - looking.p50_us) / wake_up);
            busy_single.add(single.iops / looking.iops);
            busy_deep.add(deep.iops / deep_looking.iops);
            quiet.add(quiet_adaptive.cpu_us / quiet_told.cpu_us);
        }
    }
    std::filesystem::remove_all(directory);
    fmt::print("what an interrupt adds, in bare wake-ups:      {}\n", interrupt.text());
    fmt::print("busy, depth 1:  adaptive beside looking:       {}\n", busy_single.text());
    fmt::print("busy, depth 32: adaptive beside looking:       {}\n", busy_deep.text());
    fmt::print("quiet: CPU of adaptive beside interrupts:      {}\n", quiet.text());
    return 0;
}

}  // namespace
}  // namespace outboard::bench

int main(int argc, char** argv) {
    try {
        return outboard::bench::run(argc, argv);
    } catch (const outboard::Error& error) {
        fmt::print(stderr, "completion_modes: {}\n", error.what());
        return error.exit_status();
    }
}
