#include "outboard/base/error.hpp"
#include "outboard/cli/driver_options.hpp"
#include "outboard/cli/progress.hpp"
#include "outboard/cli/verb.hpp"
#include "outboard/host/block_bench.hpp"
#include "outboard/host/device_host.hpp"
#include "outboard/host/disk_content.hpp"
#include "outboard/host/stop_signals.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace outboard::cli {

namespace {

struct Words {
    std::string device;
    unsigned disk = 0;
    std::string load = "randread";
    unsigned mix = 50;
    std::uint64_t io_size = 4096;
    std::uint16_t depth = 32;
    double seconds = 10;
    double warmup = 0;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    bool verify = false;
    std::uint64_t seed = 1;
    bool destroy_data = false;
    DriverWords driver;
};

/// Figures in the units that people and the JSON contract use.
struct Figures {
    double iops;
    double mib_s;
    double p50_us;
    double p99_us;
    double p999_us;
    double cpu_ns;
};

Figures figures_of(const BlockBenchResult& result) {
    const double seconds = std::chrono::duration<double>(result.elapsed).count();
    const auto microseconds = [&result](double fraction) {
        return static_cast<double>(result.latency.percentile(fraction)) / 1000;
    };
    const auto requests = static_cast<double>(result.requests);
    return {.iops = seconds > 0 ? requests / seconds : 0,
            .mib_s = seconds > 0 ? static_cast<double>(result.bytes) / seconds / (1 << 20) : 0,
            .p50_us = microseconds(0.5),
            .p99_us = microseconds(0.99),
            .p999_us = microseconds(0.999),
            .cpu_ns = result.requests != 0 ? static_cast<double>(result.cpu.count()) / requests : 0};
}

BlockBenchOptions options_of(const Words& words) {
    BlockBenchOptions options;
    options.random = words.load.starts_with("rand");
    options.read_percent = words.load.ends_with("rw") ? words.mix : words.load.ends_with("read") ? 100 : 0;
    options.io_size = static_cast<std::uint32_t>(words.io_size);
    options.depth = words.depth;
    options.offset = words.offset;
    options.size = words.size;
    options.duration =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(words.seconds));
    options.warmup =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(words.warmup));
    options.verify = words.verify;
    options.seed = words.seed;
    return options;
}

/// A load that writes is not let loose on a disk that looks used.
void protect_content(RunLoop& loop, BlockDevice& disk, const Words& words) {
    const std::vector<std::byte> start = loop.run(read_disk_start(loop, disk));
    const std::string_view content = known_content(start);
    if (!content.empty())
        throw Error({.kind = ErrorKind::busy,
                     .action = "write to",
                     .subject = fmt::format("disk {} of {}", words.disk, words.device),
                     .cause = fmt::format("it holds {}", content),
                     .remedy = "choose another disk, or add --destroy-data"});
}

void print(const BlockBenchResult& result, const Words& words) {
    const Figures figures = figures_of(result);
    std::string text = fmt::format(
        "{} {} KiB, depth {}: {:.0f} IOPS, {:.1f} MiB/s\n"
        "latency: p50 {:.1f} us, p99 {:.1f} us, p99.9 {:.1f} us\n"
        "CPU: {:.2f} us a request\n"
        "errors: {}{}\n",
        words.load, static_cast<double>(words.io_size) / 1024, words.depth, figures.iops, figures.mib_s,
        figures.p50_us, figures.p99_us, figures.p999_us, figures.cpu_ns / 1000, result.errors,
        result.first_error == BlockStatus::ok
            ? ""
            : fmt::format(" (the first: {})", to_string(result.first_error)));
    if (words.verify)
        text += fmt::format("verified: {} requests, {} differ\n", result.blocks_verified,
                            result.blocks_differing);
    std::fputs(text.c_str(), stdout);
}

nlohmann::json json_of(const BlockBenchResult& result, const Words& words) {
    const Figures figures = figures_of(result);
    nlohmann::json document = {
        {"iops", figures.iops},
        {"mib_s", figures.mib_s},
        {"latency_us", {{"p50", figures.p50_us}, {"p99", figures.p99_us}, {"p999", figures.p999_us}}},
        {"cpu_ns_per_request", figures.cpu_ns},
        {"errors", result.errors}};
    if (words.verify)
        document["verified"] = {{"requests", result.blocks_verified}, {"differing", result.blocks_differing}};
    return document;
}

/// Closes the device whatever happened on it, and hands it back when it was taken for this.
template <class Work>
void with_device(RunLoop& loop, const DeviceHostOptions& options, Work work) {
    const std::unique_ptr<DeviceHost> host = loop.run(DeviceHost::open(loop, options));
    try {
        work(*host);
    } catch (...) {
        loop.run(host->close(host->bound_here()));
        throw;
    }
    loop.run(host->close(host->bound_here()));
}

Task<void> set_on_signal(RunLoop& loop, StopSignals& signals, bool& stop) {
    Task<void> signal = signals.next(loop);
    co_await std::move(signal);
    stop = true;
}

void run(const Words& words, Invocation& invocation) {
    bool stop = false;
    BlockBenchOptions options = options_of(words);
    options.stop = &stop;
    DeviceHostOptions host_options;
    host_options.device = DeviceName::parse(words.device);
    host_options.driver = driver_options(words.driver);
    host_options.arena_bytes = block_bench_arena_bytes(options) + content_probe_bytes;

    // Ctrl-C ends the load, not the program: the device goes back to its driver.
    StopSignals signals;
    RunLoop loop;
    Task<void> watch = set_on_signal(loop, signals, stop);
    watch.start();
    std::unique_ptr<BlockBenchResult> result;
    with_device(loop, host_options, [&](DeviceHost& host) {
        BlockDevice& disk = host.disk(words.disk);
        if (options.read_percent < 100 && !words.destroy_data)
            protect_content(loop, disk, words);
        const ProgressBar bar;
        const auto show = [&bar](double part) { bar.show(part); };
        result = run_block_bench(loop, disk, options, bar.shown() ? show : std::function<void(double)>());
    });

    if (stop)
        throw Error({.kind = ErrorKind::failed,
                     .action = "measure",
                     .subject = words.device,
                     .cause = "a signal came before it was done",
                     .remedy = {}});
    if (invocation.json)
        print_json(json_of(*result, words));
    else
        print(*result, words);
    if (result->errors != 0)
        invocation.exit_status = static_cast<int>(ErrorKind::io);
}

}  // namespace

void add_bench_verb(CLI::App& app, Invocation& invocation) {
    const auto words = std::make_shared<Words>();
    CLI::App* const verb =
        app.add_subcommand("bench", "Measure a disk straight through its driver, without the kernel");
    verb->add_option("device", words->device, device_help)->required();
    verb->add_option("--disk", words->disk, "Which of the controller's disks, from 0")->capture_default_str();
    verb->add_option("--rw", words->load, "What is done")
        ->check(CLI::IsMember({"read", "write", "rw", "randread", "randwrite", "randrw"}))
        ->capture_default_str();
    verb->add_option("--mix", words->mix, "Percent of reads in rw and randrw")
        ->check(CLI::Range(0, 100))
        ->capture_default_str();
    verb->add_option("--io-size", words->io_size, "Bytes of a request, also as 4k or 1m")
        ->transform(CLI::AsSizeValue(false))
        ->check(CLI::Range(std::uint64_t{512}, std::uint64_t{32} << 20))
        ->capture_default_str();
    verb->add_option("--depth", words->depth, "Requests outstanding")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    verb->add_option("--time", words->seconds, "Seconds that are measured")
        ->check(CLI::Range(0.001, 86400.0))
        ->capture_default_str();
    verb->add_option("--warmup", words->warmup, "Seconds before that, not measured")
        ->check(CLI::Range(0.0, 3600.0))
        ->capture_default_str();
    verb->add_option("--offset", words->offset, "First byte that is used")
        ->transform(CLI::AsSizeValue(false));
    verb->add_option("--size", words->size, "Bytes that are used from there; all when not given")
        ->transform(CLI::AsSizeValue(false));
    verb->add_flag("--verify", words->verify,
                   "Write a pattern, check it in reads, read all of it back at the end");
    verb->add_option("--seed", words->seed, "Of the offsets, the mix and the pattern")->capture_default_str();
    verb->add_flag("--destroy-data", words->destroy_data,
                   "Write even when the disk holds a file system, a partition table or the like");
    add_driver_options(*verb, words->driver);
    add_json_flag(*verb, invocation);
    verb->footer("The exit status is 7 when a request failed or what was read back differs.");
    verb->callback([words, &invocation] { run(*words, invocation); });
}

}  // namespace outboard::cli
