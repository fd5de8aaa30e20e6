// How many 4 KiB reads a second the simulated NVMe controller serves with nothing behind it: the server on
// one processor, a client that polls on another. The client is no driver: raw queues and doorbells, nothing
// else, so that the figure is the device's.
#include "outboard/base/error.hpp"
#include "outboard/runtime/pin_thread.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "bench/raw_nvme.hpp"
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/utsname.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;

struct Options {
    unsigned batch = 32;      ///< reads a doorbell
    unsigned depth = 256;     ///< reads in flight
    unsigned entries = 1024;  ///< of the queues
    unsigned rounds = 5;
    double seconds = 1;  ///< of a round
    double minimum = 0;  ///< fail below so many reads a second
    bool json = false;
};

/// Reads for a while; how many a second.
double measure(bench::RawClient& client, const Options& options) {
    bench::RawQueue& queue = client.queue();
    std::uint32_t next = 0;
    const auto length = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options.seconds));
    const TimePoint start = Clock::now();
    std::uint64_t done = 0;
    unsigned in_flight = 0;
    bench::Entry entry = bench::command(0x02, 0, 0, 0);
    entry[1] = 1;
    TimePoint now = start;
    unsigned looks = 0;
    while (true) {
        if (in_flight + options.batch <= options.depth) {
            for (unsigned i = 0; i < options.batch; ++i) {
                const std::uint64_t buffer = client.data() + 4096 * (next % options.entries);
                entry[0] = 0x02 | next << 16;
                entry[6] = static_cast<std::uint32_t>(buffer);
                entry[7] = static_cast<std::uint32_t>(buffer >> 32);
                entry[10] = next++ * 2654435761U >> 4;
                queue.put(entry);
            }
            queue.ring();
            in_flight += options.batch;
        }
        const unsigned taken = queue.reap(options.batch);
        in_flight -= taken;
        done += taken;
        if (++looks % 64 == 0) {
            now = Clock::now();
            if (now - start >= length)
                break;
        }
    }
    while (in_flight != 0)
        in_flight -= queue.reap(options.batch);
    return static_cast<double>(done) / std::chrono::duration<double>(now - start).count();
}

std::string machine() {
    std::ifstream file("/proc/cpuinfo");
    std::string model = "unknown processor";
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("model name") && line.find(": ") != std::string::npos) {
            model = line.substr(line.find(": ") + 2);
            break;
        }
    utsname system{};
    ::uname(&system);
    return fmt::format("{}, {} processors, Linux {}", model, std::thread::hardware_concurrency(),
                       system.release);
}

int run(int argc, char** argv) {
    Options options;
    CLI::App app("4 KiB reads a second of the simulated NVMe controller with nothing behind it");
    app.add_option("--batch", options.batch, "Reads a doorbell")
        ->check(CLI::Range(1U, 512U))
        ->capture_default_str();
    app.add_option("--depth", options.depth, "Reads in flight")
        ->check(CLI::Range(1U, 1023U))
        ->capture_default_str();
    app.add_option("--rounds", options.rounds, "Rounds, the middle one counts")
        ->check(CLI::Range(1U, 100U))
        ->capture_default_str();
    app.add_option("--seconds", options.seconds, "Length of a round")
        ->check(CLI::Range(0.01, 3600.0))
        ->capture_default_str();
    app.add_option("--minimum", options.minimum, "Fail when there are fewer reads a second");
    app.add_flag("--json", options.json, "Print one JSON document");
    CLI11_PARSE(app, argc, argv);
    options.depth = std::max(options.depth, options.batch);

    pin_thread(1);  // fails here when there is none, not on its thread
    pin_thread(0);
    const std::filesystem::path directory =
        std::filesystem::temp_directory_path() / fmt::format("sim_nvme_null-{}", ::getpid());
    std::filesystem::create_directory(directory);
    std::vector<double> rates;
    {
        const std::string socket = (directory / "socket").string();
        const bench::NullController controller(socket, 1);
        bench::RawClient client(socket, options.entries);
        measure(client, {.seconds = 0.1});
        for (unsigned round = 0; round < options.rounds; ++round)
            rates.push_back(measure(client, options));
    }
    std::filesystem::remove_all(directory);
    std::ranges::sort(rates);
    const double median = rates[rates.size() / 2];
    if (options.json) {
        const nlohmann::json document{{"reads_per_second", median}, {"min", rates.front()},
                                      {"max", rates.back()},        {"batch", options.batch},
                                      {"depth", options.depth},     {"machine", machine()}};
        fmt::print("{}\n", document.dump());
    } else {
        fmt::print(
            "{:.2f} million 4 KiB reads a second ({:.2f} to {:.2f} in {} rounds), batches of {}, {} in "
            "flight\n",
            median / 1e6, rates.front() / 1e6, rates.back() / 1e6, rates.size(), options.batch,
            options.depth);
        fmt::print("{}\n", machine());
    }
    if (median < options.minimum) {
        fmt::print(stderr, "sim_nvme_null: fewer than {} reads a second\n", options.minimum);
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace outboard

int main(int argc, char** argv) {
    try {
        return outboard::run(argc, argv);
    } catch (const outboard::Error& error) {
        fmt::print(stderr, "sim_nvme_null: {}\n", error.what());
        return error.exit_status();
    }
}
