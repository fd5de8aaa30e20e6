#include "outboard/supervisor/supervisor.hpp"

#include "outboard/backend/device_name.hpp"
#include "outboard/backend/pci/inventory.hpp"
#include "outboard/base/error.hpp"
#include "outboard/runtime/deadline.hpp"
#include "outboard/supervisor/keeper_process.hpp"
#include "outboard/supervisor/service_store.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>
#include <poll.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kept_lines = 200;
/// A device that fails again and again does not keep others waiting for longer.
constexpr Duration longest_announced = 60s;

}  // namespace

Supervisor::Supervisor(RunLoop& loop, SupervisorOptions options)
    : loop_(&loop),
      options_(std::move(options)),
      server_(loop, options_.socket, options_.group,
              [this](Request request) { return obey(std::move(request)); }) {}

Supervisor::Entry& Supervisor::add(DeviceSettings settings) {
    const std::string name = settings.device.text();
    Entry& entry = devices_[name];
    ManagedDevice::Environment environment{
        .loop = *loop_,
        .control = [this]() -> ublk::Control& {
            if (!control_)
                control_.emplace(*loop_);
            return *control_;
        },
        .host_program = options_.host_program,
        .log = [this, &entry, name](std::string_view line) { log(entry, name, line); },
        .keeper = keeper_.get()};
    entry.device = std::make_unique<ManagedDevice>(std::move(environment), std::move(settings));
    return entry;
}

Supervisor::Entry& Supervisor::find(const std::string& name) {
    const auto found = devices_.find(DeviceName::parse(name).text());
    if (found != devices_.end())
        return found->second;
    throw Error({.kind = ErrorKind::not_found,
                 .action = "find",
                 .subject = name,
                 .cause = "outboardd has no such device",
                 .remedy = fmt::format("`outboard start {}` gives it to outboardd", name)});
}

void Supervisor::log(Entry& entry, const std::string& device, std::string_view line) {
    std::fprintf(stderr, "outboardd: %s: %.*s\n", device.c_str(), static_cast<int>(line.size()), line.data());
    entry.lines.emplace_back(line);
    if (entry.lines.size() > kept_lines)
        entry.lines.pop_front();
    tell_status();
}

Task<nlohmann::json> Supervisor::obey(Request request) {
    if (request.order == Order::status) {
        nlohmann::json list = nlohmann::json::array();
        for (const auto& [name, entry] : devices_)
            if (request.device.empty() || request.device == name)
                list.push_back(to_json(entry.device->status()));
        co_return list;
    }
    if (request.order == Order::start) {
        const DeviceName name = DeviceName::parse(request.device);
        const auto known = devices_.find(name.text());
        if (name.pci() && !HeldDevice::in_machine(name))
            // Says so, and how devices are found.
            static_cast<void>(Inventory().device(*name.pci()));
        DeviceSettings settings;
        settings.device = name;
        Entry& entry = known != devices_.end() ? known->second : add(std::move(settings));
        entry.device->start();
        Task<void> running = entry.device->running();
        co_await std::move(running);
        co_return to_json(entry.device->status());
    }
    Entry& entry = find(request.device);
    switch (request.order) {
        case Order::stop: {
            Task<void> stopping = entry.device->stop(request.force);
            co_await std::move(stopping);
            break;
        }
        case Order::restart:
        case Order::upgrade: {
            entry.device->replace_host(request.driver);
            Task<void> running = entry.device->running();
            co_await std::move(running);
            if (!request.driver.empty() && entry.device->settings().driver != request.driver)
                throw Error({.kind = ErrorKind::failed,
                             .action = "upgrade",
                             .subject = request.device,
                             .cause = entry.device->status().last_failure,
                             .remedy = "the driver before drives it still"});
            break;
        }
        case Order::logs:
            co_return nlohmann::json(entry.lines);
        default:
            break;
    }
    co_return to_json(entry.device->status());
}

Task<void> Supervisor::run(StopSignals& signals) {
    for (const std::string& problem : options_.configuration.problems)
        std::fprintf(stderr, "outboardd: %s\n", problem.c_str());
    follow();
    go_on();
    for (const auto& [name, entry] : devices_)
        if (entry.device->status().state == ManagedState::stopped)
            entry.device->start();
    announcing_ = announce();
    announcing_.start();
    watchdog_ = feed_watchdog();
    watchdog_.start();
    Task<void> signal = signals.next(*loop_);
    co_await std::move(signal);
    options_.service->stopping();
    if (options_.leave_running)
        // Everything stays open in the keeper, and nothing is told to end.
        std::_Exit(0);
    Task<void> stopping = stop_all(signals);
    co_await std::move(stopping);
    if (keeper_)
        keeper_->dismiss();
}

// ---- what the service manager is told ----

/// Who waits for this service finds the disks of its devices.
Task<void> Supervisor::announce() {
    const auto settled = [this] {
        return std::ranges::none_of(devices_, [](const auto& one) {
            const ManagedState state = one.second.device->status().state;
            return state == ManagedState::starting || state == ManagedState::recovering;
        });
    };
    const TimePoint deadline = later(Clock::now(), longest_announced);
    while (!settled() && Clock::now() < deadline)
        co_await loop_->sleep_for(20ms);
    tell_status();
    options_.service->ready();
}

/// The loop turns: nothing more is needed for this service to be well.
Task<void> Supervisor::feed_watchdog() {
    const std::optional<Duration> interval = options_.service->watchdog();
    while (interval) {
        options_.service->alive();
        co_await loop_->sleep_for(*interval / 3);
    }
}

void Supervisor::tell_status() {
    std::map<std::string_view, unsigned> states;
    for (const auto& [name, entry] : devices_)
        if (entry.device)
            ++states[to_string(entry.device->status().state)];
    std::string line = fmt::format("{} devices", devices_.size());
    for (const char* separator = ": "; const auto& [state, count] : states)
        line += fmt::format("{}{} {}", std::exchange(separator, ", "), count, state);
    if (line != said_)
        options_.service->status(said_ = std::move(line));
}

// ---- what the kernel tells ----

/// Begins to listen, before anything is looked at, so that nothing is missed.
void Supervisor::follow() {
    try {
        events_.emplace();
        following_devices_ = follow_devices();
        following_devices_.start();
    } catch (const Error& error) {
        std::fprintf(stderr, "outboardd: %s; devices that are plugged in are not noticed\n", error.what());
    }
    try {
        faults_.emplace();
        following_faults_ = follow_faults();
        following_faults_.start();
    } catch (const Error& error) {
        std::fprintf(stderr, "outboardd: %s; no device is put into quarantine\n", error.what());
    }
}

ManagedDevice* Supervisor::at(const PciAddress& address) {
    const auto found = devices_.find(address.text());
    return found != devices_.end() ? found->second.device.get() : nullptr;
}

Task<void> Supervisor::follow_devices() {
    for (;;) {
        const int ready = co_await loop_->poll(events_->fd(), POLLIN);
        if (ready < 0)
            co_return;
        const std::optional<std::vector<DeviceEvent>> events = events_->take();
        if (!events)
            look_around();
        else
            for (const DeviceEvent& event : *events)
                if (ManagedDevice* const device = at(event.device))
                    event.plugged ? device->plugged() : device->unplugged();
    }
}

/// In place of events that were lost.
void Supervisor::look_around() {
    for (auto& [name, entry] : devices_)
        if (HeldDevice::in_machine(entry.device->settings().device))
            entry.device->plugged();
        else
            entry.device->unplugged();
}

Task<void> Supervisor::follow_faults() {
    for (;;) {
        const int ready = co_await loop_->poll(faults_->fd(), POLLIN);
        if (ready < 0)
            co_return;
        try {
            for (const IommuFault& fault : faults_->take())
                if (ManagedDevice* const device = at(fault.device))
                    device->quarantine(fault);
        } catch (const Error& error) {
            std::fprintf(stderr, "outboardd: %s; no device is put into quarantine any more\n", error.what());
            co_return;
        }
    }
}

/// Takes over what another supervisor held, and adds what the configuration names.
void Supervisor::go_on() {
    std::vector<KeptEntry> kept;
    try {
        if (options_.service->keeps_descriptors())
            keeper_ = std::make_unique<ServiceStore>(*options_.service);
        else
            keeper_ =
                std::make_unique<KeeperProcess>(options_.socket.string() + ".keep", options_.own_program);
        kept = keeper_->list();
    } catch (const Error& error) {
        std::fprintf(stderr, "outboardd: %s; if this process is killed the next one cannot go on\n",
                     error.what());
    }
    for (DeviceSettings& settings : options_.configuration.devices)
        add(std::move(settings));
    for (KeptEntry& one : kept) {
        DeviceSettings settings;
        settings.device = DeviceName::parse(one.name);
        const auto known = devices_.find(one.name);
        Entry& entry = known != devices_.end() ? known->second : add(std::move(settings));
        entry.device->start(std::move(one));
    }
}

Task<void> Supervisor::stop_all(StopSignals& signals) {
    bool force = false;
    for (auto& [name, entry] : devices_) {
        // Nobody gets it from us.
        if (entry.device->status().state == ManagedState::quarantined)
            continue;
        for (bool told = false;;) {
            std::string obstacle;
            try {
                Task<void> stopping = entry.device->stop(force);
                co_await std::move(stopping);
            } catch (const Error& error) {
                obstacle = error.what();
                if (error.kind() != ErrorKind::busy) {
                    log(entry, name, obstacle);
                    break;
                }
            }
            if (obstacle.empty())
                break;
            if (!std::exchange(told, true))
                log(entry, name, fmt::format("waiting, until another signal: {}", obstacle));
            force = force || signals.take();
            co_await loop_->sleep_for(100ms);
        }
    }
}

}  // namespace outboard
