#include "outboard/base/error.hpp"
#include "outboard/cli/driver_options.hpp"
#include "outboard/cli/progress.hpp"
#include "outboard/cli/verb.hpp"
#include "outboard/host/block_bench.hpp"
#include "outboard/host/device_host.hpp"
#include "outboard/host/disk_content.hpp"
#include "outboard/host/stop_signals.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <atomic>
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
    std::vector<std::string> devices;
    unsigned disk = 0;
    std::string load = "randread";
    unsigned mix = 50;
    std::uint64_t io_size = 4096;
    std::uint16_t depth = 32;
    unsigned threads = 1;
    std::vector<unsigned> processors;
    double rate = 0;
    bool histogram = false;
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
    options.rate = words.rate;
    return options;
}

/// A load that writes is not let loose on a disk that looks used.
void protect_content(RunLoop& loop, BlockDevice& disk, const std::string& device, const Words& words) {
    const std::vector<std::byte> start = loop.run(read_disk_start(loop, disk));
    const std::string_view content = known_content(start);
    if (!content.empty())
        throw Error({.kind = ErrorKind::busy,
                     .action = "write to",
                     .subject = fmt::format("disk {} of {}", words.disk, device),
                     .cause = fmt::format("it holds {}", content),
                     .remedy = "choose another disk, or add --destroy-data"});
}

using Results = std::vector<std::unique_ptr<BlockBenchResult>>;

void print(const BlockBenchResult& result, const std::string& device, const Words& words) {
    const Figures figures = figures_of(result);
    std::string text = words.devices.size() > 1 ? device + "\n" : std::string();
    text += fmt::format(
        "{} {} KiB, depth {}{}: {:.0f} IOPS, {:.1f} MiB/s\n"
        "latency: p50 {:.1f} us, p99 {:.1f} us, p99.9 {:.1f} us\n"
        "CPU: {:.2f} us a request\n"
        "errors: {}{}\n",
        words.load, static_cast<double>(words.io_size) / 1024, words.depth,
        words.threads == 1 ? "" : fmt::format(", {} threads", words.threads), figures.iops, figures.mib_s,
        figures.p50_us, figures.p99_us, figures.p999_us, figures.cpu_ns / 1000, result.errors,
        result.first_error == BlockStatus::ok
            ? ""
            : fmt::format(" (the first: {})", to_string(result.first_error)));
    if (words.verify)
        text += fmt::format("verified: {} requests, {} differ\n", result.blocks_verified,
                            result.blocks_differing);
    if (words.histogram)
        result.latency.for_each([&text](std::uint64_t up_to, std::uint64_t count) {
            text += fmt::format("{:>12.3f} us {:>12}\n", static_cast<double>(up_to) / 1000, count);
        });
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
    if (words.histogram) {
        document["histogram"] = nlohmann::json::array();
        result.latency.for_each([&document](std::uint64_t up_to, std::uint64_t count) {
            document["histogram"].push_back({{"up_to_ns", up_to}, {"count", count}});
        });
    }
    return document;
}

/// All disks together, and each of them where there are several.
nlohmann::json json_of(const Results& results, const Words& words) {
    const auto total = std::make_unique<BlockBenchResult>();
    for (const auto& result : results)
        add(*total, *result);
    nlohmann::json document = json_of(*total, words);
    for (std::size_t i = 0; results.size() > 1 && i < results.size(); ++i) {
        nlohmann::json one = json_of(*results[i], words);
        one["device"] = words.devices[i];
        document["devices"].push_back(std::move(one));
    }
    return document;
}

/// Devices that are closed whatever happens on them, and handed back when they were taken for this.
class OpenDevices {
  public:
    OpenDevices(RunLoop& loop, const Words& words, const DeviceHostOptions& options) : loop_(loop) {
        try {
            for (const std::string& device : words.devices) {
                DeviceHostOptions own = options;
                own.device = DeviceName::parse(device);
                hosts_.push_back(loop_.run(DeviceHost::open(loop_, std::move(own))));
            }
        } catch (...) {
            abandon();
            throw;
        }
    }
    OpenDevices(const OpenDevices&) = delete;
    OpenDevices& operator=(const OpenDevices&) = delete;
    OpenDevices(OpenDevices&&) = delete;
    OpenDevices& operator=(OpenDevices&&) = delete;
    ~OpenDevices() { abandon(); }

    std::vector<BlockDevice*> disks(unsigned index) {
        std::vector<BlockDevice*> disks;
        for (const auto& host : hosts_)
            disks.push_back(&host->disk(index));
        return disks;
    }
    /// Throws Error when one of them fails to close.
    void close() {
        while (!hosts_.empty()) {
            const std::unique_ptr<DeviceHost> host = std::move(hosts_.back());
            hosts_.pop_back();
            loop_.run(host->close(host->bound_here()));
        }
    }

  private:
    /// What went wrong before is what counts.
    void abandon() noexcept {
        while (!hosts_.empty()) {
            try {
                close();
            } catch (const std::exception& error) {
                std::fprintf(stderr, "outboard: %s\n", error.what());
            }
        }
    }

    RunLoop& loop_;
    std::vector<std::unique_ptr<DeviceHost>> hosts_;
};

Task<void> set_on_signal(RunLoop& loop, StopSignals& signals, std::atomic<bool>& stop) {
    Task<void> signal = signals.next(loop);
    co_await std::move(signal);
    stop = true;
}

void run(const Words& words, Invocation& invocation) {
    std::atomic<bool> stop = false;
    BlockBenchOptions options = options_of(words);
    options.stop = &stop;
    DeviceHostOptions host_options{.device = {}, .driver = driver_options(words.driver)};
    host_options.driver.queues = words.threads;
    host_options.arena_bytes = words.threads * block_bench_arena_bytes(options) + content_probe_bytes;

    // Ctrl-C ends the load, not the program: the device goes back to its driver.
    StopSignals signals;
    RunLoop loop;
    Task<void> watch = set_on_signal(loop, signals, stop);
    watch.start();
    OpenDevices devices(loop, words, host_options);
    const std::vector<BlockDevice*> disks = devices.disks(words.disk);
    if (options.read_percent < 100 && !words.destroy_data)
        for (std::size_t i = 0; i < disks.size(); ++i)
            protect_content(loop, *disks[i], words.devices[i], words);
    Results results;
    {
        const ProgressBar bar;
        const auto show = [&bar](double part) { bar.show(part); };
        results = run_block_benches(loop, disks, options,
                                    {.threads = words.threads, .processors = words.processors},
                                    bar.shown() ? show : std::function<void(double)>());
    }
    devices.close();

    if (stop)
        throw Error({.kind = ErrorKind::failed,
                     .action = "measure",
                     .subject = words.devices.front(),
                     .cause = "a signal came before it was done",
                     .remedy = {}});
    if (invocation.json)
        print_json(json_of(results, words));
    for (std::size_t i = 0; !invocation.json && i < results.size(); ++i)
        print(*results[i], words.devices[i], words);
    for (const auto& result : results)
        if (result->errors != 0)
            invocation.exit_status = static_cast<int>(ErrorKind::io);
}

}  // namespace

void add_bench_verb(CLI::App& app, Invocation& invocation) {
    const auto words = std::make_shared<Words>();
    CLI::App* const verb =
        app.add_subcommand("bench", "Measure a disk straight through its driver, without the kernel");
    verb->add_option("device", words->devices, std::string(device_help) + "; several are loaded at once")
        ->required();
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
    verb->add_option("--threads", words->threads,
                     "Threads for each device, every one with a queue of its own and --depth requests")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    verb->add_option("--cpu", words->processors, "Processors that the threads run on, in turn, as in 0,2")
        ->delimiter(',');
    verb->add_option("--rate", words->rate,
                     "Requests a second for each device; latency counts from when each has its time")
        ->check(CLI::Range(0.1, 1e9));
    verb->add_flag("--histogram", words->histogram, "Show how many requests took how long");
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
