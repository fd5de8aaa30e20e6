// Kills the host of a device again and again, and measures how long a user of its disk waits for the next
// one. Runs in the guest of guest_recovery.sh, which has the load and the verification.
#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/base/file.hpp"
#include "outboard/supervisor/control_client.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <nlohmann/json.hpp>
#include <sys/ioctl.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using outboard::Error;
using outboard::Order;
using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::microseconds;

constexpr std::size_t read_bytes = 4096;

struct Read {
    Clock::time_point begin;
    Clock::time_point end;
};

/// Reads blocks of a disk, one at a time, and notes how long each took.
class Prober {
  public:
    explicit Prober(const std::string& disk) : file_(outboard::open_file(disk, O_RDONLY | O_DIRECT)) {
        if (::ioctl(file_.get(), BLKGETSIZE64, &size_) != 0)
            outboard::throw_errno(errno, "ask for the size of", disk);
        thread_ = std::thread([this] { run(); });
    }
    Prober(const Prober&) = delete;
    Prober& operator=(const Prober&) = delete;
    Prober(Prober&&) = delete;
    Prober& operator=(Prober&&) = delete;
    ~Prober() {
        stop_.store(true);
        thread_.join();
    }

    /// The reads that have ended since the last call.
    std::vector<Read> take() {
        const std::scoped_lock lock(mutex_);
        return std::exchange(reads_, {});
    }
    unsigned errors() const noexcept { return errors_.load(); }

  private:
    void run() {
        const std::unique_ptr<void, void (*)(void*)> buffer(std::aligned_alloc(read_bytes, read_bytes),
                                                            std::free);
        std::mt19937_64 random(7);
        while (!stop_.load()) {
            const auto block = static_cast<off_t>(random() % (size_ / read_bytes));
            const Clock::time_point begin = Clock::now();
            if (::pread(file_.get(), buffer.get(), read_bytes, block * static_cast<off_t>(read_bytes)) !=
                static_cast<ssize_t>(read_bytes))
                ++errors_;
            const Clock::time_point end = Clock::now();
            {
                const std::scoped_lock lock(mutex_);
                reads_.push_back({.begin = begin, .end = end});
            }
            std::this_thread::sleep_for(2ms);
        }
    }

    outboard::Fd file_;
    std::uint64_t size_ = 0;
    std::atomic<bool> stop_{false};
    std::atomic<unsigned> errors_{0};
    std::mutex mutex_;
    std::vector<Read> reads_;
    std::thread thread_;
};

nlohmann::json status_of(const std::string& device) {
    return outboard::ask_supervisor({.order = Order::status, .device = device}).at(0);
}

bool runs(const nlohmann::json& status) {
    return status.at("state") == "running";
}

std::size_t descriptors_of(int pid) {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid)))
        ++count;
    return count;
}

/// Resident kibibytes.
long memory_of(int pid) {
    const std::string text = outboard::read_text(fmt::format("/proc/{}/status", pid));
    return std::strtol(text.c_str() + text.find("RssAnon:") + 8, nullptr, 10);
}

double milliseconds(Clock::duration duration) {
    return static_cast<double>(std::chrono::duration_cast<Microseconds>(duration).count()) / 1000;
}

double percentile(std::vector<double> values, double part) {
    if (values.empty())
        return 0;
    std::ranges::sort(values);
    return values[std::min(values.size() - 1,
                           static_cast<std::size_t>(part * static_cast<double>(values.size())))];
}

nlohmann::json summary(const std::vector<double>& values) {
    return {
        {"p50", percentile(values, 0.5)}, {"p99", percentile(values, 0.99)}, {"max", percentile(values, 1)}};
}

struct Words {
    std::string device;
    std::string disk;
    unsigned kills = 20;
    int signal = SIGKILL;
    int supervisor = 0;
};

Words read_words(int argc, char** argv) {
    Words words;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        const std::string value = argv[i + 1];
        if (name == "--device")
            words.device = value;
        else if (name == "--disk")
            words.disk = value;
        else if (name == "--kills")
            words.kills = static_cast<unsigned>(std::stoul(value));
        else if (name == "--signal")
            words.signal = std::stoi(value);
        else if (name == "--supervisor")
            words.supervisor = std::stoi(value);
        else
            throw std::runtime_error(fmt::format("'{}' is no option", name));
    }
    return words;
}

/// Waits until another host serves the device.
nlohmann::json next_host(const std::string& device, int old) {
    const Clock::time_point deadline = Clock::now() + 120s;
    for (;;) {
        const nlohmann::json status = status_of(device);
        if (runs(status) && status.at("host_pid") != old)
            return status;
        if (status.at("state") == "failed" || Clock::now() > deadline)
            throw std::runtime_error("no host came: " + status.dump());
        std::this_thread::sleep_for(20ms);
    }
}

void run(const Words& words) {
    std::mt19937 random(std::random_device{}());
    std::uniform_int_distribution<int> wait(300, 1500);
    Prober prober(words.disk);
    std::this_thread::sleep_for(1s);
    const std::size_t descriptors = descriptors_of(words.supervisor);
    const long memory = memory_of(words.supervisor);
    std::vector<double> normal;
    std::vector<double> pauses;
    std::vector<double> recoveries;
    std::vector<double> device_starts;
    for (unsigned kill = 0; kill < words.kills; ++kill) {
        std::this_thread::sleep_for(std::chrono::milliseconds(wait(random)));
        const nlohmann::json before = status_of(words.device);
        const int host = before.at("host_pid").get<int>();
        const std::vector<Read> calm = prober.take();
        for (std::size_t i = kill == 0 ? 0 : 1; i < calm.size(); ++i)
            normal.push_back(milliseconds(calm[i].end - calm[i].begin));
        const Clock::time_point killed = Clock::now();
        if (::kill(host, words.signal) != 0)
            outboard::throw_errno(errno, "kill", fmt::format("process {}", host));
        const nlohmann::json after = next_host(words.device, host);
        // The read that waited for the new host ends soon after it.
        std::this_thread::sleep_for(200ms);
        double longest = 0;
        for (const Read& read : prober.take())
            if (read.end > killed)
                longest = std::max(longest, milliseconds(read.end - std::max(read.begin, killed)));
        pauses.push_back(longest);
        recoveries.push_back(after.at("recovery_us").get<double>() / 1000);
        device_starts.push_back(after.at("device_start_us").get<double>() / 1000);
    }
    const double usual = percentile(normal, 0.5);
    for (double& pause : pauses)
        pause = std::max(0.0, pause - usual);
    const nlohmann::json result{{"kills", words.kills},
                                {"probe_errors", prober.errors()},
                                {"pause_ms", summary(pauses)},
                                {"recovery_ms", summary(recoveries)},
                                {"device_start_ms", summary(device_starts)},
                                {"read_ms", summary(normal)},
                                {"supervisor",
                                 {{"descriptors", {descriptors, descriptors_of(words.supervisor)}},
                                  {"anonymous_kib", {memory, memory_of(words.supervisor)}}}}};
    std::printf("%s\n", result.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run(read_words(argc, argv));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "guest_recovery: %s\n", error.what());
        return 1;
    }
}
