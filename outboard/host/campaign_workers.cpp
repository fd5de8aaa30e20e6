#include "outboard/host/campaign_workers.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/base/file.hpp"
#include "outboard/base/pipe.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <sstream>
#include <type_traits>
#include <vector>

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;

constexpr Duration silence = 60s;
constexpr std::uint64_t page_kib = 4;

static_assert(std::is_trivially_copyable_v<FaultOutcome> && sizeof(FaultOutcome) <= PIPE_BUF);

struct Worker {
    pid_t pid = -1;
    Fd outcomes;
    std::uint64_t left = 0;
    unsigned number = 0;
    unsigned lives = 0;
    TimePoint heard;
};

/// What a worker does; its exit status is that of an Error.
int work(const CampaignOptions& options, int outcomes) {
    try {
        run_fault_campaign(options, [outcomes](const FaultOutcome& outcome) {
            if (::write(outcomes, &outcome, sizeof outcome) != sizeof outcome)
                throw_errno(errno, "tell", "the outcome of a fault");
        });
    } catch (const Error& error) {
        std::fprintf(stderr, "outboard faults: %s\n", error.what());
        return error.exit_status();
    }
    return 0;
}

std::uint64_t resident_kib(pid_t pid) {
    std::istringstream words(try_read_text(fmt::format("/proc/{}/statm", pid)).value_or(""));
    std::uint64_t size = 0;
    std::uint64_t resident = 0;
    words >> size >> resident;
    return resident * page_kib;
}

class Workers {
  public:
    Workers(const CampaignOptions& options, unsigned jobs, const std::function<void(double)>& progress)
        : options_(options), progress_(progress), workers_(jobs) {
        for (unsigned i = 0; i < jobs; ++i) {
            workers_[i].number = i;
            workers_[i].left = options.count / jobs + (i < options.count % jobs ? 1 : 0);
        }
    }
    ~Workers() {
        for (Worker& worker : workers_)
            if (worker.pid > 0) {
                ::kill(worker.pid, SIGKILL);
                ::waitpid(worker.pid, nullptr, 0);
            }
    }
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;
    Workers(Workers&&) = delete;
    Workers& operator=(Workers&&) = delete;

    std::unique_ptr<CampaignReport> run() {
        for (Worker& worker : workers_)
            if (worker.left > 0)
                start(worker);
        while (std::ranges::any_of(workers_, [](const Worker& worker) { return worker.pid > 0; })) {
            step();
            progress_(static_cast<double>(report_->faults) / static_cast<double>(options_.count));
        }
        return std::move(report_);
    }

  private:
    void start(Worker& worker);
    void step();
    void take(Worker& worker);
    void count(const FaultOutcome& outcome);
    void ended(Worker& worker);
    void watch_memory();

    const CampaignOptions& options_;
    const std::function<void(double)>& progress_;
    std::vector<Worker> workers_;
    std::unique_ptr<CampaignReport> report_ = std::make_unique<CampaignReport>();
};

void Workers::start(Worker& worker) {
    Pipe pipe = make_pipe();
    CampaignOptions options = options_;
    options.count = worker.left;
    options.seed = options_.seed + worker.number + workers_.size() * worker.lives;
    if (options.model != nullptr)
        options.socket = fmt::format("{}.{}", options_.socket.string(), worker.number);
    ++worker.lives;
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0)
        throw_errno(errno, "start", "a worker of the campaign");
    if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        pipe.read_end.reset();
        ::_exit(::getppid() == parent ? work(options, pipe.write_end.get()) : 1);
    }
    worker.pid = pid;
    worker.outcomes = std::move(pipe.read_end);
    worker.heard = Clock::now();
}

void Workers::step() {
    std::vector<pollfd> waits;
    for (const Worker& worker : workers_)
        waits.push_back({.fd = worker.pid > 0 ? worker.outcomes.get() : -1, .events = POLLIN, .revents = 0});
    ::poll(waits.data(), waits.size(), 250);
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        Worker& worker = workers_[i];
        if (worker.pid <= 0)
            continue;
        if (waits[i].revents != 0)
            take(worker);
        else if (Clock::now() - worker.heard > silence)
            ::kill(worker.pid, SIGALRM);  // told apart from a crash by its status
    }
}

void Workers::take(Worker& worker) {
    std::array<FaultOutcome, 128> outcomes{};
    const ssize_t size = ::read(worker.outcomes.get(), outcomes.data(), sizeof outcomes);
    if (size <= 0) {
        ended(worker);
        return;
    }
    worker.heard = Clock::now();
    // Writes of this size are never torn, so neither are reads.
    const auto whole = static_cast<std::size_t>(size) / sizeof(FaultOutcome);
    for (std::size_t i = 0; i < whole; ++i)
        count(outcomes[i]);
    worker.left -= std::min<std::uint64_t>(worker.left, whole);
    watch_memory();
}

void Workers::count(const FaultOutcome& outcome) {
    KindCounts& kind = report_->kinds[static_cast<std::size_t>(outcome.kind)];
    ++report_->faults;
    ++kind.injected;
    ++(outcome.failed_to_caller ? kind.failed_to_caller : kind.recovered);
    kind.corrupted += outcome.corrupted ? 1 : 0;
    kind.resets += outcome.reset_needed ? 1 : 0;
    kind.reopened += outcome.reopened ? 1 : 0;
    report_->mismatches += outcome.mismatches;
    if (outcome.reset_needed || outcome.reopened)
        report_->recovery.record(static_cast<std::uint64_t>(outcome.recovery.count()));
}

void Workers::watch_memory() {
    const bool early = report_->faults >= options_.count / 10 && report_->memory_first_kib == 0;
    if (!early && report_->faults < options_.count / 10 * 9)
        return;
    std::uint64_t largest = 0;
    for (const Worker& worker : workers_)
        if (worker.pid > 0)
            largest = std::max(largest, resident_kib(worker.pid));
    if (early)
        report_->memory_first_kib = largest;
    report_->memory_last_kib = std::max(report_->memory_last_kib, largest);
}

void Workers::ended(Worker& worker) {
    int status = 0;
    ::waitpid(worker.pid, &status, 0);
    worker.pid = -1;
    worker.outcomes.reset();
    if (WIFSIGNALED(status)) {
        ++(WTERMSIG(status) == SIGALRM ? report_->hangs : report_->crashes);
    } else if (WEXITSTATUS(status) == static_cast<int>(ErrorKind::timed_out)) {
        ++report_->hangs;
    } else if (WEXITSTATUS(status) != 0) {
        throw Error({.kind = static_cast<ErrorKind>(WEXITSTATUS(status)),
                     .action = "go on with",
                     .subject = "the campaign",
                     .cause = "a worker gave up",
                     .remedy = "it said why above"});
    }
    if (worker.left > 0)
        start(worker);
}

}  // namespace

std::unique_ptr<CampaignReport> run_campaign_workers(const CampaignOptions& options, unsigned jobs,
                                                     const std::function<void(double)>& progress) {
    return Workers(options, jobs, progress).run();
}

}  // namespace outboard
