// One host at work: how it is watched, and what is known of its end.
#include "outboard/backend/pci/inventory.hpp"
#include "outboard/base/error.hpp"
#include "outboard/host/driver_table.hpp"
#include "outboard/host/module_file.hpp"
#include "outboard/runtime/deadline.hpp"
#include "outboard/supervisor/host_user.hpp"
#include "outboard/supervisor/managed_device.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <variant>

#include <fmt/format.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;
using namespace hosting;

std::uint64_t microseconds(Duration duration) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
}

/// Why a host ended, when it came to say so.
std::string last_words(HostProcess& host) {
    for (const Packet& packet : host.inbox().drain()) {
        try {
            const FromHost message = decode_from_host(packet.text);
            if (const auto* const failed = std::get_if<Failed>(&message))
                return error_of(*failed).what();
        } catch (const Error&) {
            continue;
        }
    }
    return {};
}

/// The driver's file, when the driver for this device is a module. What a vfio-user device is only its host
/// learns, so there a module has to be named.
std::optional<ModuleFile> open_module_for(const DeviceSettings& settings) {
    const auto known = known_drivers();
    const KnownDriver* driver = nullptr;
    if (!settings.driver.empty()) {
        const auto named = std::ranges::find(known, settings.driver, &KnownDriver::name);
        driver = named == known.end() ? nullptr : &*named;
    } else if (settings.device.pci()) {
        driver = find_driver(Inventory().device(*settings.device.pci()).identity);
    }
    if (driver == nullptr || driver->built_in != nullptr)
        return std::nullopt;
    return open_module(driver->file);
}

}  // namespace

/// Lets a host drive the device until it ends; returns why it did.
Task<std::string> ManagedDevice::attend() {
    const bool adopted = static_cast<bool>(adopted_);
    try {
        if (adopted)
            host_ = std::move(adopted_);
        else
            host_ = spare_ && spare_->alive() ? std::move(spare_) : make_host();
    } catch (const Error& error) {
        host_ended_ = Clock::now();
        co_return error.what();
    }
    HostProcess& host = *host_;
    std::string failure;
    bool left = false;
    finished_ = false;
    auto& self = co_await detail::CurrentPromise();
    {
        Task<void> conversation = adopted ? go_on(host) : converse(host);
        Task<void> watching = watch(host, conversation);
        Task<void> pulse = keep_pulse(host);
        watching.start();
        pulse.start();
        try {
            co_await std::move(conversation);
            finished_ = true;
        } catch (const Cancelled&) {
            left = true;
        } catch (const Error& error) {
            left = error.kind() == ErrorKind::not_found && !said_why_;
            if (!left)
                failure = error.what();
        }
    }
    // The end of the process and that of its socket may be seen at once: then the conversation ends by
    // itself, and what was to cancel it must not meet the next await.
    self.take_cancellation();
    said_why_ = false;
    Task<void> leave = see_off(host, finished_ || left);
    co_await std::move(leave);
    host_ended_ = Clock::now();
    if (left)
        failure = last_words(host);
    const std::string how = host.how_it_ended();
    if (std::exchange(device_error_, false))
        failure = fmt::format("the device reported an error (PCI Express AER): process {} was ended for it",
                              host.pid());
    else if (std::exchange(hung_, false))
        failure =
            fmt::format("process {} hung: it did not answer for {} ms", host.pid(),
                        std::chrono::duration_cast<std::chrono::milliseconds>(settings_.hang_limit).count());
    else if (failure.empty())
        failure = fmt::format("process {} ended: {}", host.pid(), how);
    host_.reset();
    co_return failure;
}

/// Waits for the end of a process, and sees to it: one that has closed its socket ends of itself as a rule,
/// and then how it did is worth knowing.
Task<void> ManagedDevice::see_off(HostProcess& host, bool leaves) {
    constexpr Duration for_itself = 1s;
    const std::string what = fmt::format("the end of process {}", host.pid());
    if (leaves) {
        try {
            Task<void> ending = host.ended();
            Task<void> limited = with_deadline(environment_.loop, std::move(ending), for_itself, what);
            co_await std::move(limited);
            co_return;
        } catch (const Error&) {
            // It has had its time.
        }
    }
    host.kill();
    Task<void> ending = host.ended();
    Task<void> limited = with_deadline(environment_.loop, std::move(ending), 60s, what);
    co_await std::move(limited);
}

/// Ends the conversation when the process has ended.
Task<void> ManagedDevice::watch(HostProcess& host, Task<void>& conversation) {
    Task<void> ending = host.ended();
    co_await std::move(ending);
    conversation.cancel();
}

/// Kills a host that does not answer: one of its loops spins, waits for something else, or it is stopped.
Task<void> ManagedDevice::keep_pulse(HostProcess& host) {
    const Duration interval = settings_.hang_limit / 4;
    // Answers to what an earlier supervisor sent have lower numbers.
    const std::uint64_t first = microseconds(Clock::now().time_since_epoch());
    last_pong_ = first - 1;
    unsigned absences = 0;
    for (std::uint64_t number = first;; ++number) {
        try {
            host.send(Ping{.number = number});
        } catch (const Error&) {
            // Its end, which others see as well; or it reads nothing, which the next lines find.
        }
        co_await environment_.loop.sleep_for(interval);
        // One that is being reset may look as if it was gone for a moment.
        absences = held_->present() ? 0 : absences + 1;
        if (absences == 2 && !taken_away_)
            give_back();
        if (number - last_pong_ < 4)
            continue;
        replacing_.clear();
        hung_ = true;
        host.kill();
        co_return;
    }
}

bool ManagedDevice::hear(const Packet& packet) {
    const FromHost message = decode_from_host(packet.text);
    if (const auto* const pong = std::get_if<Pong>(&message)) {
        last_pong_ = std::max(last_pong_, pong->number);
        return true;
    }
    if (const auto* const report = std::get_if<Report>(&message)) {
        log(report->line);
        return true;
    }
    return false;
}

/// A process in its sandbox, with the driver's module if it is one.
std::unique_ptr<HostProcess> ManagedDevice::make_host() {
    const std::optional<ModuleFile> module = open_module_for(settings_);
    const SandboxUser user = host_user();
    auto host = std::make_unique<HostProcess>(environment_.loop, environment_.host_program,
                                              [this](const Packet& packet) { return hear(packet); });
    host->send(Enter{.module = module ? module->path.string() : std::string(),
                     .driver = module ? *module->description.driver : std::string(),
                     .user = user.user,
                     .group = user.group,
                     .disks = static_cast<unsigned>(settings_.disks.size()),
                     .queues = settings_.queues_wanted(),
                     .device_socket = !settings_.device.pci()},
               module ? module->fd.get() : -1);
    return host;
}

/// A process that is there already when the one at work dies.
void ManagedDevice::prepare_spare() {
    try {
        spare_ = make_host();
    } catch (const Error& error) {
        log(error.what());
    }
}
}  // namespace outboard
