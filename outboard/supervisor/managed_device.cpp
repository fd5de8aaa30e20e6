#include "outboard/supervisor/managed_device.hpp"

#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/usage.hpp"
#include "outboard/base/error.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;

/// For as long as one start may take (managed_service.cpp), and then some.
constexpr Duration settle_limit = 120s;
/// A device that was just plugged in is the kernel driver's for a moment, and udev's helpers look at its
/// disks.
constexpr Duration busy_limit = 30s;

}  // namespace

const char* to_string(ManagedState state) noexcept {
    switch (state) {
        case ManagedState::starting:
            return "starting";
        case ManagedState::running:
            return "running";
        case ManagedState::recovering:
            return "recovering";
        case ManagedState::stopping:
            return "stopping";
        case ManagedState::stopped:
            return "stopped";
        case ManagedState::failed:
            return "failed";
        case ManagedState::removed:
            return "removed";
        case ManagedState::quarantined:
            return "quarantined";
    }
    return "unknown";
}

ManagedDevice::ManagedDevice(Environment environment, DeviceSettings settings)
    : environment_(std::move(environment)), settings_(std::move(settings)), policy_(settings_.restart) {}

DeviceStatus ManagedDevice::status() const {
    DeviceStatus status{.device = settings_.device.text(),
                        .driver = driver_.empty() ? settings_.driver : driver_,
                        .state = state_,
                        .host_pid = host_ ? host_->pid() : 0,
                        .exports = {},
                        .restarts = restarts_,
                        .last_failure = last_failure_,
                        .recovery_us = recovery_us_,
                        .device_start_us = device_start_us_};
    for (const Export& one : exports_)
        status.exports.push_back(ublk::disk_path(one.info.device_id));
    return status;
}

void ManagedDevice::set_state(ManagedState state) {
    if (state_ == state)
        return;
    state_ = state;
    log(to_string(state));
}

// ---- orders ----

void ManagedDevice::start(std::optional<KeptEntry> kept) {
    if (state_ == ManagedState::starting || state_ == ManagedState::running ||
        state_ == ManagedState::recovering || state_ == ManagedState::stopping)
        return;
    policy_.forget();
    failure_ = nullptr;
    stop_wanted_ = false;
    taken_away_ = false;
    quarantined_ = false;
    restarts_ = 0;
    life_ = {};
    if (!kept && !held_ && !HeldDevice::in_machine(settings_.device)) {
        set_state(ManagedState::removed);
        return;
    }
    set_state(ManagedState::starting);
    life_ = live(std::move(kept));
    life_.start();
}

Task<void> ManagedDevice::running() {
    const std::string what = fmt::format("the start of {}", settings_.device.text());
    const auto settled = [this] {
        return state_ != ManagedState::starting && state_ != ManagedState::recovering;
    };
    Task<void> waiting = wait_until(environment_.loop, settled, settle_limit, 5ms, what);
    co_await std::move(waiting);
    if (failure_)
        std::rethrow_exception(failure_);
}

Task<void> ManagedDevice::stop(bool force) {
    if (state_ == ManagedState::quarantined)
        throw Error(
            {.kind = ErrorKind::failed,
             .action = "stop",
             .subject = settings_.device.text(),
             .cause = "it is in quarantine: " + last_failure_,
             .remedy = fmt::format("`outboard start {}` ends the quarantine", settings_.device.text())});
    if (state_ == ManagedState::removed)
        set_state(ManagedState::stopped);
    std::vector<std::string> users;
    for (const Export& one : exports_) {
        const std::vector<std::string> more =
            disk_users(Inventory(), fmt::format("ublkb{}", one.info.device_id));
        users.insert(users.end(), more.begin(), more.end());
    }
    if (!users.empty() && !force)
        throw Error({.kind = ErrorKind::busy,
                     .action = "stop",
                     .subject = settings_.device.text(),
                     .cause = join(users),
                     .remedy = "end what uses it, or add --force: then it fails"});
    stop_wanted_ = true;
    if (state_ == ManagedState::running) {
        set_state(ManagedState::stopping);
        host_->send(hosting::Cease{});
    }
    const auto ended = [this] {
        return state_ == ManagedState::stopped || state_ == ManagedState::failed ||
               state_ == ManagedState::removed || state_ == ManagedState::quarantined;
    };
    const std::string what = fmt::format("the end of {}", settings_.device.text());
    Task<void> waiting = wait_until(environment_.loop, ended, 180s, 10ms, what);
    co_await std::move(waiting);
}

void ManagedDevice::replace_host(const std::string& driver) {
    if (state_ != ManagedState::running)
        return;
    if (!driver.empty() && driver != settings_.driver) {
        driver_before_ = std::exchange(settings_.driver, driver);
        spare_.reset();  // the driver before may be loaded in it
    }
    replacing_ = "replaced on request";
    set_state(ManagedState::recovering);
    host_->kill();
}

// ---- its life ----

Task<void> ManagedDevice::live(std::optional<KeptEntry> kept) {
    std::string failure;
    try {
        if (kept) {
            adopt(std::move(*kept));
        } else if (!held_) {
            Task<void> opening = open_device();
            co_await std::move(opening);
            Task<void> finding = find_left_behind();
            co_await std::move(finding);
        }
        if (!quarantined_) {
            follow_notices();
            Task<void> holding = hold();
            co_await std::move(holding);
        }
    } catch (const Error& error) {
        failure = error.what();
        failure_ = std::current_exception();
    }
    Task<void> ending = end(std::move(failure));
    co_await std::move(ending);
}

Task<void> ManagedDevice::open_device() {
    const TimePoint deadline = later(Clock::now(), busy_limit);
    for (const bool patient = std::exchange(just_plugged_, false);;) {
        try {
            held_ = HeldDevice::open(settings_.device);
            co_return;
        } catch (const Error& error) {
            if (!patient || stop_wanted_ || error.kind() != ErrorKind::busy || Clock::now() >= deadline)
                throw;
        }
        co_await environment_.loop.sleep_for(500ms);
    }
}

/// One host after the other, until it is told to stop. Throws Error when it is given up.
Task<void> ManagedDevice::hold() {
    for (;;) {
        serving_since_ = TimePoint::max();
        Task<std::string> attending = attend();
        const std::string failure = co_await std::move(attending);
        if (!finished_ && !taken_away_ && !held_->present())
            give_back();
        held_->quiet();
        if (stop_wanted_ || finished_)
            co_return;
        const TimePoint now = Clock::now();
        std::optional<Duration> delay = Duration::zero();
        if (std::exchange(replacing_, {}).empty()) {
            last_failure_ = failure;
            log(failure);
            delay = policy_.failed(
                now, serving_since_ == TimePoint::max() ? Duration::zero() : now - serving_since_);
        }
        if (driver_before_ && serving_since_ == TimePoint::max() && !failure.empty()) {
            log(fmt::format("the driver {} did not come to serve: the one before goes on", settings_.driver));
            settings_.driver = *std::exchange(driver_before_, std::nullopt);
        }
        if (!delay)
            throw Error(
                {.kind = ErrorKind::failed,
                 .action = "keep running the driver of",
                 .subject = settings_.device.text(),
                 .cause = fmt::format(
                     "it failed {} times within {} s, the last time with: {}", policy_.recent() + 1,
                     std::chrono::duration_cast<std::chrono::seconds>(settings_.restart.window).count(),
                     failure),
                 .remedy = fmt::format("`outboard start {}` tries again", settings_.device.text())});
        ++restarts_;
        if (!exports_live_) {
            Task<void> removing = take_disks_away();
            co_await std::move(removing);
        }
        set_state(exports_live_ ? ManagedState::recovering : ManagedState::starting);
        // One that did not get as far as serving may have left a device that needs more than its driver's own
        // reset.
        if (std::exchange(reset_wanted_, false) || serving_since_ == TimePoint::max())
            reset_device();
        Task<void> backing_off = back_off(*delay);
        co_await std::move(backing_off);
        if (taken_away_ || quarantined_)
            co_return;
    }
}

Task<void> ManagedDevice::back_off(Duration delay) {
    const TimePoint end = later(Clock::now(), delay);
    while (Clock::now() < end && !stop_wanted_)
        co_await environment_.loop.sleep_until(std::min(end, later(Clock::now(), 50ms)));
}

void ManagedDevice::reset_device() {
    try {
        if (held_->reset())
            log("the device was reset, because its driver's own reset might not be enough");
    } catch (const Error& error) {
        // The driver's own reset is left.
        log(error.what());
    }
}

// ---- its end ----

Task<void> ManagedDevice::end(std::string failure) {
    spare_.reset();
    release_watch_ = {};
    error_watch_ = {};
    release_limit_ = {};
    try {
        Task<void> removing = take_disks_away();
        co_await std::move(removing);
    } catch (const Error& error) {
        log(error.what());
    }
    if (held_ && quarantined_ && !taken_away_) {
        Task<void> isolation = isolate();
        co_await std::move(isolation);
        co_return;
    }
    try {
        forget();
        if (held_ && taken_away_)
            held_->let_go();
        else if (held_)
            held_->release();
    } catch (const Error& error) {
        log(error.what());
    }
    held_.reset();
    if (!failure.empty()) {
        last_failure_ = failure;
        log(failure);
    }
    const bool there = HeldDevice::in_machine(settings_.device);
    if (quarantined_)
        set_state(ManagedState::quarantined);
    else if (!there && (taken_away_ || !failure.empty()))
        set_state(ManagedState::removed);
    else
        set_state(failure.empty() ? ManagedState::stopped : ManagedState::failed);
}

Task<void> ManagedDevice::take_disks_away() {
    for (const Export& one : exports_) {
        Task<void> removing = environment_.control().remove(one.info.device_id);
        co_await std::move(removing);
    }
    exports_.clear();
    exports_live_ = false;
}

}  // namespace outboard
