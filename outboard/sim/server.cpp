#include "outboard/sim/server.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>

namespace outboard::sim {

namespace {

using namespace std::chrono_literals;

/// Waits for input on `fd` until `deadline`, to the nanosecond; max() is without end.
void wait_for_input(int fd, TimePoint deadline) noexcept {
    pollfd watched{.fd = fd, .events = POLLIN, .revents = 0};
    if (deadline == TimePoint::max()) {
        ::ppoll(&watched, 1, nullptr, nullptr);
        return;
    }
    const Duration rest = std::max(deadline - Clock::now(), Duration::zero());
    const auto seconds = std::chrono::floor<std::chrono::seconds>(rest);
    const timespec limit{.tv_sec = seconds.count(), .tv_nsec = (rest - seconds).count()};
    ::ppoll(&watched, 1, &limit, nullptr);
}

/// When a model's shared memory is looked at: all the time while there is work, less and less often without.
class PollPlan {
  public:
    /// After a message, which may have woken the model.
    void woken(TimePoint now) noexcept {
        asleep_ = false;
        busy_until_ = now + spin;
        pause_ = shortest_pause;
    }
    void polled(Polled result, TimePoint now) noexcept {
        asleep_ = result == Polled::asleep;
        if (result == Polled::worked)
            woken(now);
    }
    bool asleep() const noexcept { return asleep_; }
    bool busy(TimePoint now) const noexcept { return !asleep_ && now < busy_until_; }
    /// When to look again, after a look at which there was nothing.
    TimePoint next(TimePoint now) noexcept {
        if (asleep_)
            return TimePoint::max();
        const TimePoint when = now + pause_;
        pause_ = std::min(2 * pause_, longest_pause);
        return when;
    }

  private:
    static constexpr Duration spin = 100us;
    static constexpr Duration shortest_pause = 20us;
    static constexpr Duration longest_pause = 1ms;

    bool asleep_ = false;
    TimePoint busy_until_;
    Duration pause_ = shortest_pause;
};

/// Tells the doorman when a session ends, however it does.
class AtEnd {
  public:
    explicit AtEnd(Doorman& doorman) noexcept : doorman_(doorman) {}
    AtEnd(const AtEnd&) = delete;
    AtEnd& operator=(const AtEnd&) = delete;
    AtEnd(AtEnd&&) = delete;
    AtEnd& operator=(AtEnd&&) = delete;
    ~AtEnd() { doorman_.done(); }

  private:
    Doorman& doorman_;
};

/// Looks at the socket while the model is busy: not each time, a system call costs as much as many requests.
constexpr unsigned looks_per_message_check = 16;

}  // namespace

Server::Server(PciModel& model, ServerOptions options)
    : model_(model),
      options_(std::move(options)),
      path_(options_.socket),
      doorman_(path_.fd(), [this](std::string_view line) { log(line); }) {
    model_.dma().set_log([this](std::string_view line) { log(line); });
    model_.faults().set_log([this](std::string_view line) { log(line); });
}

void Server::log(std::string_view line) {
    const std::scoped_lock lock(log_mutex_);
    if (options_.log)
        options_.log(line);
}

void Server::serve() {
    ::prctl(PR_SET_TIMERSLACK, 1UL);  // the model's timers and polls are not put off
    while (!doorman_.stopped()) {
        if (Fd client = doorman_.take()) {
            serve_client(std::move(client));
            continue;
        }
        wait_for_input(doorman_.fd(), model_.timers().next());
        model_.timers().run(Clock::now());
    }
}

void Server::serve_client(Fd client) {
    log("a client has connected");
    model_.plug_in();
    Session session(model_, std::move(client), options_.patience, options_.share_memory);
    const AtEnd done(doorman_);  // before the session closes its socket
    PollPlan plan;
    unsigned looks = 0;
    int error = 0;
    bool nothing_there = false;
    while (error == 0 || error == ETIMEDOUT) {
        const TimePoint now = Clock::now();
        if (model_.timers().next() <= now)
            model_.timers().run(now);
        if (!plan.asleep()) {
            const Polled result = model_.removed() ? Polled::asleep : model_.poll();
            plan.polled(result, now);
            if (result == Polled::worked && ++looks % looks_per_message_check != 0)
                continue;
        }
        const TimePoint timer = model_.timers().next();
        if (plan.asleep() && timer == TimePoint::max()) {
            error = session.step(TimePoint::max());  // one system call for the wait and the message
        } else {
            if (!plan.busy(now) && (nothing_there || !session.has_buffered()))
                wait_for_input(session.fd(), std::min(timer, plan.next(now)));
            error = session.step(TimePoint::min());
        }
        nothing_there = error == ETIMEDOUT;
        if (error == 0)
            plan.woken(now);
    }
    log(fmt::format("the client is gone: {}", session.end_cause(error)));
}

// ---- with a thread ----

ServerThread::ServerThread(PciModel& model, ServerOptions options)
    : server_(model, std::move(options)), thread_([this] {
          try {
              server_.serve();
          } catch (...) {
              failure_ = std::current_exception();
          }
      }) {}

ServerThread::~ServerThread() {
    server_.stop();
}

void ServerThread::stop() {
    server_.stop();
    if (thread_.joinable())
        thread_.join();
    if (failure_)
        std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace outboard::sim
