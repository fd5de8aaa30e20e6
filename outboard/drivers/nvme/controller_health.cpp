// How the controller is, on demand (NVM Express Base Specification 2.0, 5.16).
#include "outboard/base/error.hpp"
#include "outboard/drivers/nvme/controller.hpp"
#include "outboard/drivers/nvme/health_log.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace outboard::nvme {

namespace {

using namespace std::chrono_literals;

constexpr Duration look_interval = 1ms;

}  // namespace

/// Asked for by whoever serves the device, answered by the service that also resets the controller: never
/// both at once. The deadline leaves it the time of a recovery.
Task<std::optional<DiskHealth>> Controller::read_health() {
    if (health_wish_)
        throw outboard::Error({.kind = ErrorKind::busy,
                               .action = "read the health of",
                               .subject = name_,
                               .cause = "somebody else is reading it",
                               .remedy = "try again"});
    health_wish_.emplace();
    struct Withdraw {
        std::optional<HealthWish>& wish;
        explicit Withdraw(std::optional<HealthWish>& asked) noexcept : wish(asked) {}
        Withdraw(const Withdraw&) = delete;
        Withdraw& operator=(const Withdraw&) = delete;
        Withdraw(Withdraw&&) = delete;
        Withdraw& operator=(Withdraw&&) = delete;
        ~Withdraw() { wish.reset(); }
    };
    const Withdraw withdraw(health_wish_);
    const TimePoint deadline = later(Clock::now(), 4 * (limits_.command + limits_.ready));
    while (!health_wish_->answer && !lost_ && Clock::now() < deadline) {
        attention_.wake();
        co_await loop_.sleep_until(later(Clock::now(), look_interval));
    }
    if (!health_wish_->answer)
        throw outboard::Error({.kind = lost_ ? ErrorKind::io : ErrorKind::timed_out,
                               .action = "read the health of",
                               .subject = name_,
                               .cause = lost_ ? "it is given up" : "it does not answer",
                               .remedy = {}});
    if (!*health_wish_->answer)
        throw outboard::Error({.kind = ErrorKind::io,
                               .action = "read the health of",
                               .subject = name_,
                               .cause = health_wish_->answer->error(),
                               .remedy = {}});
    co_return std::move(**health_wish_->answer);
}

/// A command that is not answered is an error of the service's, which resets the controller; one that is
/// refused is the answer.
Task<void> Controller::answer_health_wish() {
    Task<AdminResult> asking_health = admin_.send(
        get_log_page(LogPage::health, health_log_bytes, page_.iova()), limits_.command, "Get Log Page");
    const AdminResult health = co_await std::move(asking_health);
    if (!health.status.ok()) {
        if (health_wish_)
            health_wish_->answer.emplace(std::unexpect, describe(health.status));
        co_return;
    }
    DiskHealth told = parse_health_log(page_.span().bytes().first<health_log_bytes>());
    const auto bytes = static_cast<std::uint32_t>(
        std::min<std::size_t>(identity_.error_entries * error_entry_bytes, identify_bytes));
    Task<AdminResult> asking_errors =
        admin_.send(get_log_page(LogPage::errors, bytes, page_.iova()), limits_.command, "Get Log Page");
    const AdminResult errors = co_await std::move(asking_errors);
    if (errors.status.ok())
        told.errors = parse_error_log(page_.span().bytes().first(bytes));
    if (health_wish_)
        health_wish_->answer.emplace(std::move(told));
}

}  // namespace outboard::nvme
