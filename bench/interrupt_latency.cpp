// How long from a device's interrupt to the coroutine that waits for it, beside the barest wait there is: a
// blocking read(2) of the same eventfd. One thread raises on processor 0, another sleeps on processor 1; both
// ways take turns in blocks of samples, so that what the machine does in between meets both.
#include "outboard/base/error.hpp"
#include "outboard/device/device.hpp"
#include "outboard/drivers/edu/registers.hpp"
#include "outboard/runtime/event_watch.hpp"
#include "outboard/runtime/pin_thread.hpp"
#include "outboard/runtime/run_loop.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/processors.hpp"
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

struct Options {
    std::string device;  ///< empty: a thread writes the eventfd
    unsigned pairs = 9;
    unsigned samples = 200;  ///< of a block
    bool json = false;
    double limit = 0;  ///< 0: none
};

/// What raises: an edu device by MSI, or a thread of this process.
class Source {
  public:
    explicit Source(const std::string& name) {
        if (name.empty()) {
            own_event_ = Fd(::eventfd(0, EFD_CLOEXEC));
            return;
        }
        device_ = Device::open(name);
        registers_ = device_->region(RegionIndex::bar0).block<edu::register_bytes>();
        if (registers_->read<edu::Identification>()[edu::Identification::magic] != edu::identification_magic)
            throw Error({.kind = ErrorKind::unsupported,
                         .action = "measure interrupts of",
                         .subject = name,
                         .cause = "it is no edu device",
                         .remedy = "start the lab with --device edu"});
        device_->set_bus_master(true);
        interrupts_ = device_->enable_interrupts(InterruptKind::msi, 1);
    }

    int eventfd() const { return device_ ? interrupts_.front().eventfd() : own_event_.get(); }
    void raise() const {
        const std::uint64_t one = 1;
        if (registers_)
            registers_->write(Value<edu::InterruptRaise>(1));
        else if (::write(own_event_.get(), &one, sizeof one) != sizeof one)
            std::terminate();  // an eventfd whose counter is near zero takes it
    }
    void acknowledge() const {
        if (registers_)
            registers_->write(Value<edu::InterruptAcknowledge>(1));
    }

  private:
    Fd own_event_;
    std::unique_ptr<Device> device_;
    std::optional<RegisterBlock<edu::register_bytes>> registers_;
    std::vector<Interrupt> interrupts_;
};

/// Raises once for each time the other thread is about to sleep, a while later.
class Raiser {
  public:
    explicit Raiser(const Source& source) : thread_([this, &source] { work(source); }) {}
    ~Raiser() {
        ended_ = true;
        thread_.join();
    }
    Raiser(const Raiser&) = delete;
    Raiser& operator=(const Raiser&) = delete;
    Raiser(Raiser&&) = delete;
    Raiser& operator=(Raiser&&) = delete;

    /// The next interrupt may come.
    void expect() { expected_.fetch_add(1, std::memory_order_release); }
    /// From the raise to now, which is the moment after waking.
    Duration since_raised(TimePoint now) const { return now - raised_.load(std::memory_order_acquire); }

  private:
    void work(const Source& source) {
        pin_thread(bench::available(0));
        std::uint64_t done = 0;
        while (!ended_) {
            std::this_thread::sleep_for(100us);
            if (expected_.load(std::memory_order_acquire) == done)
                continue;
            ++done;
            // Not always the same phase of the kernel's ticks; long enough for the sleeper to be asleep.
            std::this_thread::sleep_for(200us + std::chrono::microseconds(done * 37 % 200));
            raised_.store(Clock::now(), std::memory_order_release);
            source.raise();
        }
    }

    std::atomic<bool> ended_ = false;
    std::atomic<std::uint64_t> expected_ = 0;
    std::atomic<TimePoint> raised_{};
    std::thread thread_;
};

using Samples = std::vector<double>;  ///< microseconds

void take_sample(Samples& samples, const Raiser& raiser, const Source& source) {
    const Duration latency = raiser.since_raised(Clock::now());
    source.acknowledge();
    samples.push_back(std::chrono::duration<double, std::micro>(latency).count());
}

/// Sets an eventfd's counter to zero.
void drain(int eventfd) {
    pollfd readable{.fd = eventfd, .events = POLLIN, .revents = 0};
    std::uint64_t count = 0;
    if (::poll(&readable, 1, 0) == 1 && ::read(eventfd, &count, sizeof count) != sizeof count)
        throw_errno(errno, "read", "the interrupt's eventfd");
}

Samples measure_read(const Source& source, Raiser& raiser, unsigned count) {
    drain(source.eventfd());
    Samples samples;
    samples.reserve(count);
    while (samples.size() < count) {
        std::uint64_t events = 0;
        raiser.expect();
        if (::read(source.eventfd(), &events, sizeof events) != sizeof events)
            throw_errno(errno, "read", "the interrupt's eventfd");
        take_sample(samples, raiser, source);
    }
    return samples;
}

Task<Samples> measure_task(RunLoop& loop, const Source& source, Raiser& raiser, unsigned count) {
    // It reports what the counter holds already, too.
    drain(source.eventfd());
    EventWatch interrupts(loop, source.eventfd());
    Samples samples;
    samples.reserve(count);
    while (samples.size() < count) {
        raiser.expect();
        const int result = co_await interrupts.next();
        if (result < 0)
            throw_errno(-result, "await", "the interrupt's eventfd");
        take_sample(samples, raiser, source);
    }
    co_return samples;
}

double quantile(Samples samples, double fraction) {
    std::ranges::sort(samples);
    return samples[static_cast<std::size_t>(fraction * static_cast<double>(samples.size() - 1))];
}

struct Outcome {
    Samples task;
    Samples read;
    Samples ratios;  ///< of the medians, one a pair
};

Outcome measure(const Options& options) {
    pin_thread(bench::available(1));
    const Source source(options.device);
    RunLoop loop;
    Raiser raiser(source);
    Outcome outcome;
    for (unsigned pair = 0; pair <= options.pairs; ++pair) {
        Samples task;
        Samples read;
        for (const bool first : {true, false}) {
            // Who begins changes from pair to pair.
            if (first == (pair % 2 == 0))
                task = loop.run(measure_task(loop, source, raiser, options.samples));
            else
                read = measure_read(source, raiser, options.samples);
        }
        if (pair == 0)
            continue;  // warms up
        outcome.ratios.push_back(quantile(task, 0.5) / quantile(read, 0.5));
        outcome.task.insert(outcome.task.end(), task.begin(), task.end());
        outcome.read.insert(outcome.read.end(), read.begin(), read.end());
    }
    return outcome;
}

int report(const Options& options, const Outcome& outcome) {
    const auto way = [](const Samples& samples) {
        return nlohmann::json{{"p50_us", quantile(samples, 0.5)}, {"p99_us", quantile(samples, 0.99)}};
    };
    const double ratio = quantile(outcome.ratios, 0.5);
    const double least = std::ranges::min(outcome.ratios);
    const double most = std::ranges::max(outcome.ratios);
    if (options.json) {
        const nlohmann::json document{
            {"source", options.device.empty() ? "eventfd" : options.device},
            {"pairs", options.pairs},
            {"samples", outcome.task.size()},
            {"task", way(outcome.task)},
            {"read", way(outcome.read)},
            {"ratio", {{"median", ratio}, {"min", least}, {"max", most}}},
        };
        fmt::print("{}\n", document.dump());
    } else {
        fmt::print("{:<22} {:>9} {:>9}\n", "interrupt to", "p50 us", "p99 us");
        fmt::print("{:<22} {:>9.1f} {:>9.1f}\n", "coroutine (RunLoop)", quantile(outcome.task, 0.5),
                   quantile(outcome.task, 0.99));
        fmt::print("{:<22} {:>9.1f} {:>9.1f}\n", "blocking read(2)", quantile(outcome.read, 0.5),
                   quantile(outcome.read, 0.99));
        fmt::print("ratio of the medians {:.3f} ({:.3f} to {:.3f} over {} pairs of {} samples)\n", ratio,
                   least, most, options.pairs, options.samples);
    }
    if (options.limit > 0 && ratio > options.limit) {
        fmt::print(stderr, "interrupt_latency: the ratio is above {}\n", options.limit);
        return 1;
    }
    return 0;
}

int run(int argc, char** argv) {
    Options options;
    bool eventfd = false;
    CLI::App app("Latency from an interrupt to the coroutine that awaits it, beside a blocking read");
    auto* device =
        app.add_option("DEVICE", options.device, "An edu device bound to vfio-pci, by its full address");
    app.add_flag("--eventfd", eventfd, "No device: another thread writes the eventfd")->excludes(device);
    app.add_option("--pairs", options.pairs, "Pairs of blocks")
        ->check(CLI::Range(5U, 1000U))
        ->capture_default_str();
    app.add_option("--samples", options.samples, "Samples of a block")
        ->check(CLI::Range(10U, 1000000U))
        ->capture_default_str();
    app.add_option("--limit", options.limit, "Fail when the ratio of the medians is above this");
    app.add_flag("--json", options.json, "Print one JSON document");
    CLI11_PARSE(app, argc, argv);
    if (options.device.empty() != eventfd)
        throw Error({.kind = ErrorKind::usage,
                     .action = "measure",
                     .subject = "interrupts",
                     .cause = "there is neither a device nor --eventfd",
                     .remedy = "name an edu device, such as 0000:00:06.0"});
    return report(options, measure(options));
}

}  // namespace
}  // namespace outboard

int main(int argc, char** argv) {
    try {
        return outboard::run(argc, argv);
    } catch (const outboard::Error& error) {
        fmt::print(stderr, "interrupt_latency: {}\n", error.what());
        return error.exit_status();
    }
}
