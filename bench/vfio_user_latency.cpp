// What a call to a device in another process costs: reading a register, and mapping memory for DMA, beside
// the barest exchange of messages of the same size (with the same descriptor) over a UNIX socket. Each peer
// is a process on processor 0, this one is on processor 1; both ways take turns in blocks of samples, so that
// what the machine does in between meets both.
#include "outboard/backend/vfio_user/vfio_user_backend.hpp"
#include "outboard/base/error.hpp"
#include "outboard/runtime/pin_thread.hpp"
#include "outboard/sim/model_table.hpp"
#include "outboard/sim/server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/processors.hpp"
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard {
namespace {

using namespace std::chrono_literals;
using vfio_user::VfioUserBackend;

struct Options {
    unsigned pairs = 15;
    unsigned samples = 2000;  ///< of a block
    bool json = false;
    double limit = 0;       ///< 0: none
    bool together = false;  ///< all on one processor: only the instructions count, not the wake-up
};

/// A child process that does `work` until this one ends it.
class Peer {
  public:
    Peer(unsigned processor, const std::function<void()>& work) : process_(::fork()) {
        if (process_ < 0)
            throw_errno(errno, "start", "a process");
        if (process_ > 0)
            return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        try {
            pin_thread(bench::available(processor));
            work();
        } catch (const std::exception& error) {
            fmt::print(stderr, "vfio_user_latency: peer: {}\n", error.what());
        }
        ::_exit(0);
    }
    ~Peer() {
        ::kill(process_, SIGKILL);
        ::waitpid(process_, nullptr, 0);
    }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    Peer(Peer&&) = delete;
    Peer& operator=(Peer&&) = delete;

  private:
    pid_t process_;
};

// ---- the barest exchange ----

/// Sizes in bytes, as the messages of the protocol have them.
struct Sizes {
    std::size_t question;
    std::size_t answer;
};

class PingPong {
  public:
    PingPong(unsigned processor, const Sizes& sizes) : sizes_(sizes) {
        std::array<int, 2> ends{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
            throw_errno(errno, "create", "a pair of sockets");
        ours_.reset(ends[0]);
        const Fd theirs(ends[1]);
        peer_ = std::make_unique<Peer>(processor, [&] { answer(theirs.get()); });
    }

    /// -1: without a descriptor.
    void exchange(int descriptor) {
        std::array<std::byte, 64> data{};
        std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
        iovec part{.iov_base = data.data(), .iov_len = sizes_.question};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        if (descriptor >= 0) {
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            cmsghdr* const header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof descriptor);
            std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
        }
        if (::sendmsg(ours_.get(), &message, MSG_NOSIGNAL) != static_cast<ssize_t>(sizes_.question) ||
            ::recv(ours_.get(), data.data(), data.size(), 0) != static_cast<ssize_t>(sizes_.answer))
            throw_errno(errno, "exchange messages with", "the other process");
    }

  private:
    void answer(int socket) const {
        for (;;) {
            std::array<std::byte, 64> data{};
            std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
            iovec part{.iov_base = data.data(), .iov_len = data.size()};
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0)
                return;
            if (const cmsghdr* const header = CMSG_FIRSTHDR(&message)) {
                int descriptor = -1;
                std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
                ::close(descriptor);
            }
            if (::send(socket, data.data(), sizes_.answer, MSG_NOSIGNAL) <= 0)
                return;
        }
    }

    Sizes sizes_;
    Fd ours_;
    std::unique_ptr<Peer> peer_;
};

// ---- the device ----

/// A simulated edu device in another process.
class Server {
  public:
    explicit Server(unsigned processor)
        : path_(std::filesystem::temp_directory_path() / fmt::format("vfio-user-latency-{}", ::getpid())),
          peer_(processor, [this] { serve(); }) {}
    ~Server() {
        std::error_code ignored;
        std::filesystem::remove(path_, ignored);
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    Server(Server&&) = delete;
    Server& operator=(Server&&) = delete;

    std::unique_ptr<VfioUserBackend> connect() const {
        const TimePoint deadline = Clock::now() + 5s;
        for (;;) {
            try {
                return VfioUserBackend::open(path_.string());
            } catch (const Error& error) {
                if (error.kind() != ErrorKind::not_found || Clock::now() > deadline)
                    throw;
            }
            std::this_thread::sleep_for(10ms);
        }
    }

  private:
    void serve() const {
        const auto models = sim::built_in_models();
        const auto edu = std::ranges::find(models, "edu", [](const auto* model) { return model->name; });
        const std::unique_ptr<sim::PciModel> model = (*edu)->make(sim::ModelOptions((*edu)->options));
        sim::Server(*model, {.socket = path_, .log = {}}).serve();
    }

    std::filesystem::path path_;
    Peer peer_;
};

/// A page of shared memory that can be mapped for DMA.
class Page {
  public:
    Page() : file_(::memfd_create("page", MFD_CLOEXEC)) {
        if (!file_ || ::ftruncate(file_.get(), size) != 0)
            throw_errno(errno, "create", "a page of shared memory");
        void* const address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
        if (address == MAP_FAILED)
            throw_errno(errno, "map", "a page of shared memory");
        memory_ = std::span(static_cast<std::byte*>(address), size);
    }
    ~Page() { ::munmap(memory_.data(), memory_.size()); }
    Page(const Page&) = delete;
    Page& operator=(const Page&) = delete;
    Page(Page&&) = delete;
    Page& operator=(Page&&) = delete;

    static constexpr std::size_t size = 4096;
    DmaMapping mapping() const {
        return {.iova = 0x10000,
                .memory = memory_,
                .access = DmaAccess::read_write,
                .fd = file_.get(),
                .offset = 0};
    }

  private:
    Fd file_;
    std::span<std::byte> memory_;
};

// ---- measuring ----

using Samples = std::vector<double>;  ///< microseconds

/// `action` is timed; `after` undoes it.
template <class Action, class After>
Samples measure(unsigned count, Action action, After after) {
    Samples samples;
    samples.reserve(count);
    while (samples.size() < count) {
        const TimePoint start = Clock::now();
        action();
        samples.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
        after();
    }
    return samples;
}

double quantile(Samples samples, double fraction) {
    std::ranges::sort(samples);
    return samples[static_cast<std::size_t>(fraction * static_cast<double>(samples.size() - 1))];
}

struct Outcome {
    const char* name;
    const char* key;
    Samples device;
    Samples bare;
    Samples ratios;  ///< of the medians, one a pair
};

template <class Device, class Bare>
void compare(const Options& options, Outcome& outcome, Device device, Bare bare) {
    for (unsigned pair = 0; pair <= options.pairs; ++pair) {
        Samples ours;
        Samples theirs;
        for (const bool first : {true, false}) {
            // Who begins changes from pair to pair.
            if (first == (pair % 2 == 0))
                ours = device();
            else
                theirs = bare();
        }
        if (pair == 0)
            continue;  // warms up
        outcome.ratios.push_back(quantile(ours, 0.5) / quantile(theirs, 0.5));
        outcome.device.insert(outcome.device.end(), ours.begin(), ours.end());
        outcome.bare.insert(outcome.bare.end(), theirs.begin(), theirs.end());
    }
}

std::vector<Outcome> measure(const Options& options) {
    using namespace vfio_user;
    const Page page;
    constexpr std::size_t access = sizeof(Header) + sizeof(RegionAccess);
    // Before this process has a second thread, which fork would not copy.
    const unsigned processor = options.together ? 1 : 0;
    PingPong read_bare(processor, {.question = access, .answer = access + 4});
    PingPong map_bare(processor, {.question = sizeof(Header) + sizeof(DmaMap), .answer = sizeof(Header)});
    const Server server(processor);
    pin_thread(bench::available(1));
    const std::unique_ptr<VfioUserBackend> device = server.connect();

    const auto nothing = [] {};
    const auto check = [](int error) {
        if (error != 0)
            throw_errno(error, "read a register of", "the simulated device");
    };
    std::vector<Outcome> outcomes{
        {"region read", "region_read", {}, {}, {}},
        {"DMA map", "dma_map", {}, {}, {}},
        // Without a file there is nothing for the server to map: the messages alone.
        {"no file", "dma_map_without_file", {}, {}, {}}};
    std::array<std::byte, 4> value{};
    compare(
        options, outcomes[0],
        [&] {
            return measure(
                options.samples, [&] { check(device->read_region(RegionIndex::bar0, 0, value)); }, nothing);
        },
        [&] { return measure(options.samples, [&] { read_bare.exchange(-1); }, nothing); });
    for (const bool file : {true, false}) {
        DmaMapping mapping = page.mapping();
        if (!file)
            mapping.fd = -1;
        compare(
            options, outcomes[file ? 1 : 2],
            [&] {
                return measure(
                    options.samples, [&] { device->map_dma(mapping); },
                    [&] { device->unmap_dma(mapping.iova, Page::size); });
            },
            [&] {
                return measure(
                    options.samples, [&] { map_bare.exchange(mapping.fd); }, [&] { map_bare.exchange(-1); });
            });
    }
    return outcomes;
}

nlohmann::json to_json(const Outcome& outcome) {
    const auto way = [](const Samples& samples) {
        return nlohmann::json{{"p50_us", quantile(samples, 0.5)}, {"p99_us", quantile(samples, 0.99)}};
    };
    return {{"vfio_user", way(outcome.device)},
            {"ping_pong", way(outcome.bare)},
            {"ratio",
             {{"median", quantile(outcome.ratios, 0.5)},
              {"min", std::ranges::min(outcome.ratios)},
              {"max", std::ranges::max(outcome.ratios)}}}};
}

int report(const Options& options, const std::vector<Outcome>& outcomes) {
    if (options.json) {
        nlohmann::json document{{"pairs", options.pairs}, {"samples", options.samples}};
        for (const Outcome& outcome : outcomes)
            document[outcome.key] = to_json(outcome);
        fmt::print("{}\n", document.dump());
    } else {
        fmt::print("{:<12} {:>16} {:>16} {:>16} {:>16}  ratio of the medians\n", "round trip",
                   "vfio-user p50 us", "p99 us", "ping-pong p50 us", "p99 us");
        for (const Outcome& outcome : outcomes)
            fmt::print(
                "{:<12} {:>16.2f} {:>16.2f} {:>16.2f} {:>16.2f}  {:.3f} ({:.3f} to {:.3f} over {} pairs)\n",
                outcome.name, quantile(outcome.device, 0.5), quantile(outcome.device, 0.99),
                quantile(outcome.bare, 0.5), quantile(outcome.bare, 0.99), quantile(outcome.ratios, 0.5),
                std::ranges::min(outcome.ratios), std::ranges::max(outcome.ratios), options.pairs);
    }
    int status = 0;
    for (const Outcome& outcome : outcomes)
        if (options.limit > 0 && quantile(outcome.ratios, 0.5) > options.limit) {
            fmt::print(stderr, "vfio_user_latency: {}: the ratio is above {}\n", outcome.name, options.limit);
            status = 1;
        }
    return status;
}

int run(int argc, char** argv) {
    Options options;
    CLI::App app("Round trips to a simulated device over vfio-user, beside bare exchanges over a socket");
    app.add_option("--pairs", options.pairs, "Pairs of blocks")
        ->check(CLI::Range(5U, 1000U))
        ->capture_default_str();
    app.add_option("--samples", options.samples, "Samples of a block")
        ->check(CLI::Range(10U, 1000000U))
        ->capture_default_str();
    app.add_option("--limit", options.limit, "Fail when a ratio of the medians is above this");
    app.add_flag("--together", options.together,
                 "All processes on one processor: the cost without the wake-up");
    app.add_flag("--json", options.json, "Print one JSON document");
    CLI11_PARSE(app, argc, argv);
    return report(options, measure(options));
}

}  // namespace
}  // namespace outboard

int main(int argc, char** argv) {
    try {
        return outboard::run(argc, argv);
    } catch (const outboard::Error& error) {
        fmt::print(stderr, "vfio_user_latency: {}\n", error.what());
        return error.exit_status();
    }
}
