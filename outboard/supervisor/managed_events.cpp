// What happens to a device from outside: it is plugged in, taken away, reports errors, goes where it must
// not.
#include "outboard/base/error.hpp"
#include "outboard/supervisor/managed_device.hpp"

#include <chrono>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;

/// For the orderly end of a host whose device the kernel waits for: what the page cache holds is written
/// meanwhile.
constexpr Duration give_back_limit = 40s;

}  // namespace

void ManagedDevice::plugged() {
    if (state_ != ManagedState::removed)
        return;
    log("it was plugged in");
    just_plugged_ = true;
    start();
}

void ManagedDevice::unplugged() {
    const bool given_back = state_ == ManagedState::stopped && taken_away_;
    if (given_back || state_ == ManagedState::failed)
        set_state(ManagedState::removed);
}

void ManagedDevice::follow_notices() {
    if (held_->release_notice() >= 0) {
        release_watch_ = watch_release();
        release_watch_.start();
    }
    if (held_->error_notice() >= 0) {
        error_watch_ = watch_errors();
        error_watch_.start();
    }
}

Task<void> ManagedDevice::watch_release() {
    std::uint64_t count = 0;
    const int result = co_await environment_.loop.event(held_->release_notice(), count);
    if (result > 0)
        give_back();
}

/// The kernel waits until the device is closed.
void ManagedDevice::give_back() {
    if (taken_away_)
        return;
    const bool orderly = held_->present();
    if (!orderly)
        last_failure_ = "it was removed from the machine while it was in use";
    log(orderly ? "the kernel wants it back: somebody unbinds or removes it" : last_failure_);
    const bool serves = state_ == ManagedState::running;
    const bool ceases = state_ == ManagedState::stopping;
    taken_away_ = true;
    stop_wanted_ = true;
    set_state(ManagedState::stopping);
    if (!host_)
        return;
    if (!orderly || (!serves && !ceases)) {
        host_->kill();
        return;
    }
    release_limit_ = kill_after(give_back_limit);
    release_limit_.start();
    if (ceases)
        return;
    try {
        host_->send(hosting::Cease{});
    } catch (const Error&) {
        host_->kill();
    }
}

Task<void> ManagedDevice::kill_after(Duration limit) {
    co_await environment_.loop.sleep_for(limit);
    if (host_) {
        log("its host took too long to end in order");
        host_->kill();
    }
}

/// A host that works with a device in error would go on with what is not true any more.
Task<void> ManagedDevice::watch_errors() {
    for (;;) {
        std::uint64_t count = 0;
        const int result = co_await environment_.loop.event(held_->error_notice(), count);
        if (result <= 0)
            co_return;
        if (!host_ || stop_wanted_)
            continue;
        device_error_ = true;
        reset_wanted_ = true;
        replacing_.clear();
        host_->kill();
    }
}

// ---- quarantine ----

void ManagedDevice::quarantine(const IommuFault& fault) {
    if (!held_ || quarantined_ || taken_away_)
        return;
    held_->quiet();
    last_failure_ = fmt::format("IOMMU fault: it tried to {} memory at {:#x}, which it was not given ({})",
                                fault.write ? "write" : "read", fault.iova, fault.reason);
    log(last_failure_);
    quarantined_ = true;
    stop_wanted_ = true;
    set_state(ManagedState::stopping);
    if (host_)
        host_->kill();
}

/// Keeps it, so that nobody gets it, until the kernel wants it or it is started again.
Task<void> ManagedDevice::isolate() {
    held_->quiet();
    reset_device();
    keep_quarantine();
    set_state(ManagedState::quarantined);
    if (held_->release_notice() < 0)
        co_return;
    std::uint64_t count = 0;
    const int result = co_await environment_.loop.event(held_->release_notice(), count);
    if (result <= 0)
        co_return;
    log("the kernel wants it back: somebody unbinds or removes it");
    try {
        forget();
        held_->let_go();
    } catch (const Error& error) {
        log(error.what());
    }
    held_.reset();
}

}  // namespace outboard
