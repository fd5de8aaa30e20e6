// How many 4 KiB reads a second the simulated NVMe controller serves with nothing behind it: the server on
// one processor, a client that polls on another. The client is no driver: raw queues and doorbells, nothing
// else, so that the figure is the device's.
#include "outboard/base/error.hpp"
#include "outboard/device/device.hpp"
#include "outboard/sim/models/nvme/controller.hpp"
#include "outboard/sim/server.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/processors.hpp"
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

/// The server, alone on processor 1.
class ServedDevice {
  public:
    explicit ServedDevice(const std::string& socket)
        : model_({.namespaces = {{.kind = sim::StorageOptions::Kind::null,
                                  .size = std::uint64_t{1} << 40,
                                  .block_size = 4096}}}),
          server_(model_, {.socket = socket, .log = {}}),
          thread_([this] {
              bench::pin_to(1);
              server_.serve();
          }) {}
    ~ServedDevice() {
        server_.stop();
        thread_.join();
    }
    ServedDevice(const ServedDevice&) = delete;
    ServedDevice& operator=(const ServedDevice&) = delete;
    ServedDevice(ServedDevice&&) = delete;
    ServedDevice& operator=(ServedDevice&&) = delete;

  private:
    sim::nvme::Controller model_;
    sim::Server server_;
    std::thread thread_;
};

/// A submission queue entry as 16 doublewords, a completion as 4.
using Entry = std::array<std::uint32_t, 16>;
using Answer = std::array<std::uint32_t, 4>;

/// A queue pair: memory of the arena and two doorbells.
class Queue {
  public:
    Queue(DmaArena& arena, unsigned id, unsigned entries, std::byte* doorbells)
        : submission_(arena.allocate(std::size_t{64} * entries, 4096)),
          completion_(arena.allocate(std::size_t{16} * entries, 4096)),
          entries_(entries),
          tail_doorbell_(reinterpret_cast<std::uint32_t*>(doorbells) + std::size_t{2} * id),
          head_doorbell_(tail_doorbell_ + 1) {}

    std::uint64_t submission_iova() const { return submission_.iova(); }
    std::uint64_t completion_iova() const { return completion_.iova(); }

    void put(const Entry& entry) {
        std::memcpy(submission_.address() + std::size_t{64} * tail_, &entry, sizeof entry);
        tail_ = tail_ + 1 == entries_ ? 0 : tail_ + 1;
    }
    void ring() { std::atomic_ref(*tail_doorbell_).store(tail_, std::memory_order_release); }

    /// Takes at most `most` completions. Throws when one of them is no success.
    unsigned reap(unsigned most) {
        unsigned taken = 0;
        while (taken < most) {
            auto& last = completion_.as<Answer>()[head_][3];
            const std::uint32_t word = std::atomic_ref(last).load(std::memory_order_acquire);
            if ((word >> 16 & 1) != phase_)
                break;
            if (word >> 17 != 0)
                throw Error({.kind = ErrorKind::io,
                             .action = "read from",
                             .subject = "the simulated controller",
                             .cause = fmt::format("status {:#x}", word >> 17),
                             .remedy = ""});
            if (++head_ == entries_) {
                head_ = 0;
                phase_ ^= 1;
            }
            ++taken;
        }
        if (taken != 0)
            std::atomic_ref(*head_doorbell_).store(head_, std::memory_order_release);
        return taken;
    }

    void run(const Entry& entry) {
        put(entry);
        ring();
        for (const TimePoint deadline = Clock::now() + 5s; reap(1) == 0;)
            if (Clock::now() > deadline)
                throw Error({.kind = ErrorKind::timed_out,
                             .action = "set up",
                             .subject = "the simulated controller",
                             .cause = "no answer within 5 s",
                             .remedy = ""});
    }

  private:
    DmaBuffer submission_;
    DmaBuffer completion_;
    unsigned entries_;
    std::uint32_t* tail_doorbell_;
    std::uint32_t* head_doorbell_;
    unsigned tail_ = 0;
    unsigned head_ = 0;
    std::uint32_t phase_ = 1;
};

Entry command(std::uint8_t opcode, std::uint64_t prp1, std::uint32_t dword10, std::uint32_t dword11) {
    Entry entry{};
    entry[0] = opcode;
    entry[6] = static_cast<std::uint32_t>(prp1);
    entry[7] = static_cast<std::uint32_t>(prp1 >> 32);
    entry[10] = dword10;
    entry[11] = dword11;
    return entry;
}

/// Enables the controller and makes one queue pair.
class Client {
  public:
    Client(const std::string& socket, const Options& options)
        : device_(Device::open("vfio-user:" + socket)),
          arena_(device_->create_arena({.size = std::size_t{16} << 20})),
          registers_(device_->region(RegionIndex::bar0)),
          doorbells_(
              device_->backend().map_region(RegionIndex::bar0, {.offset = 0x1000, .size = 4096}).data()),
          admin_(arena_, 0, 16, doorbells_),
          queue_(arena_, 1, options.entries, doorbells_),
          data_(arena_.allocate(std::size_t{4096} * options.entries, 4096)) {
        device_->set_bus_master(true);
        registers_.store<std::uint32_t>(0x24, 0x000f000f);
        registers_.store<std::uint64_t>(0x28, admin_.submission_iova());
        registers_.store<std::uint64_t>(0x30, admin_.completion_iova());
        registers_.store<std::uint32_t>(0x14, 0x00460001);
        if (registers_.load<std::uint32_t>(0x1c) != 1)
            throw Error({.kind = ErrorKind::io,
                         .action = "enable",
                         .subject = "the simulated controller",
                         .cause = "it is not ready",
                         .remedy = ""});
        const std::uint32_t size = (options.entries - 1) << 16;
        admin_.run(command(0x05, queue_.completion_iova(), size | 1, 1));
        admin_.run(command(0x01, queue_.submission_iova(), size | 1, 1U << 16 | 1));
    }

    /// Reads for a while; how many a second.
    double measure(const Options& options) {
        const auto length =
            std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options.seconds));
        const TimePoint start = Clock::now();
        std::uint64_t done = 0;
        unsigned in_flight = 0;
        Entry entry = command(0x02, 0, 0, 0);
        entry[1] = 1;
        TimePoint now = start;
        unsigned looks = 0;
        while (true) {
            if (in_flight + options.batch <= options.depth) {
                for (unsigned i = 0; i < options.batch; ++i) {
                    const std::uint64_t buffer = data_.iova() + 4096 * (next_ % options.entries);
                    entry[0] = 0x02 | next_ << 16;
                    entry[6] = static_cast<std::uint32_t>(buffer);
                    entry[7] = static_cast<std::uint32_t>(buffer >> 32);
                    entry[10] = next_++ * 2654435761U >> 4;
                    queue_.put(entry);
                }
                queue_.ring();
                in_flight += options.batch;
            }
            const unsigned taken = queue_.reap(options.batch);
            in_flight -= taken;
            done += taken;
            if (++looks % 64 == 0) {
                now = Clock::now();
                if (now - start >= length)
                    break;
            }
        }
        while (in_flight != 0)
            in_flight -= queue_.reap(options.batch);
        return static_cast<double>(done) / std::chrono::duration<double>(now - start).count();
    }

  private:
    std::unique_ptr<Device> device_;
    DmaArena& arena_;
    Region registers_;
    std::byte* doorbells_;
    Queue admin_;
    Queue queue_;
    DmaBuffer data_;
    std::uint32_t next_ = 0;
};

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

    bench::pin_to(0);
    const std::filesystem::path directory =
        std::filesystem::temp_directory_path() / fmt::format("sim_nvme_null-{}", ::getpid());
    std::filesystem::create_directory(directory);
    std::vector<double> rates;
    {
        const ServedDevice device((directory / "socket").string());
        Client client((directory / "socket").string(), options);
        client.measure({.seconds = 0.1});
        for (unsigned round = 0; round < options.rounds; ++round)
            rates.push_back(client.measure(options));
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
