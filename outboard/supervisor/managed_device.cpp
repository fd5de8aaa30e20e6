#include "outboard/supervisor/managed_device.hpp"

#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/usage.hpp"
#include "outboard/base/error.hpp"
#include "outboard/export/ublk/disk_control.hpp"
#include "outboard/host/device_mark.hpp"
#include "outboard/host/drain_disks.hpp"
#include "outboard/host/driver_table.hpp"
#include "outboard/host/left_behind.hpp"
#include "outboard/host/module_file.hpp"
#include "outboard/runtime/deadline.hpp"
#include "outboard/supervisor/host_user.hpp"
#include "outboard/supervisor/kept_state.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include <fmt/format.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;
using namespace hosting;

/// More memory than this for one driver is a mistake, or worse.
constexpr std::uint64_t most_arena_bytes = std::uint64_t{4} << 30;
/// Beyond what the driver's own deadlines for a reset allow.
constexpr Duration start_limit = 120s;

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

[[noreturn]] void throw_disobedient(const std::string& device, std::string cause) {
    throw Error({.kind = ErrorKind::failed,
                 .action = "have driven",
                 .subject = device,
                 .cause = std::move(cause),
                 .remedy = {}});
}

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
    if (state_ != ManagedState::stopped && state_ != ManagedState::failed)
        return;
    policy_.forget();
    failure_ = nullptr;
    stop_wanted_ = false;
    restarts_ = 0;
    set_state(ManagedState::starting);
    life_ = live(std::move(kept));
    life_.start();
}

Task<void> ManagedDevice::running() {
    const std::string what = fmt::format("the start of {}", settings_.device.text());
    const auto settled = [this] {
        return state_ != ManagedState::starting && state_ != ManagedState::recovering;
    };
    Task<void> waiting = wait_until(environment_.loop, settled, start_limit, 5ms, what);
    co_await std::move(waiting);
    if (failure_)
        std::rethrow_exception(failure_);
}

Task<void> ManagedDevice::stop(bool force) {
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
        host_->send(Cease{});
    }
    const auto ended = [this] { return state_ == ManagedState::stopped || state_ == ManagedState::failed; };
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
        } else {
            held_ = HeldDevice::open(settings_.device);
            Task<void> finding = find_left_behind();
            co_await std::move(finding);
        }
        Task<void> holding = hold();
        co_await std::move(holding);
    } catch (const Error& error) {
        failure = error.what();
        failure_ = std::current_exception();
    }
    Task<void> ending = end(std::move(failure));
    co_await std::move(ending);
}

/// One host after the other, until it is told to stop. Throws Error when it is given up.
Task<void> ManagedDevice::hold() {
    for (;;) {
        serving_since_ = TimePoint::max();
        Task<std::string> attending = attend();
        const std::string failure = co_await std::move(attending);
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
        if (serving_since_ == TimePoint::max() && held_->reset())
            log("the device was reset, because the driver's own reset did not help");
        if (*delay > Duration::zero())
            co_await environment_.loop.sleep_for(*delay);
    }
}

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
    said_why_ = false;
    Task<void> leave = see_off(host, finished_ || left);
    co_await std::move(leave);
    host_ended_ = Clock::now();
    if (left)
        failure = last_words(host);
    const std::string how = host.how_it_ended();
    if (std::exchange(hung_, false))
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
    for (std::uint64_t number = first;; ++number) {
        try {
            host.send(Ping{.number = number});
        } catch (const Error&) {
            // Its end, which others see as well; or it reads nothing, which the next lines find.
        }
        co_await environment_.loop.sleep_for(interval);
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

namespace {

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

/// Of each disk.
std::uint16_t queues_wanted(const DeviceSettings& settings) {
    if (settings.queues != 0)
        return settings.queues;
    return static_cast<std::uint16_t>(std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace

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
                     .queues = queues_wanted(settings_),
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

// ---- what outlives this process ----

void ManagedDevice::keep(const HostProcess& host) {
    if (!environment_.keeper)
        return;
    std::vector<KeptDisk> disks;
    for (const Export& one : exports_)
        disks.push_back({.disk = one.disk, .info = one.info, .stable_writes = one.stable_writes});
    std::vector<int> descriptors = held_->kept();
    descriptors.push_back(host.socket());
    descriptors.push_back(host.process());
    const HeldArena arena = held_->arena();
    try {
        environment_.keeper->put(settings_.device.text(),
                                 to_json(KeptState{.driver = driver_,
                                                   .arena_bytes = arena.bytes,
                                                   .arena_iova = arena.iova,
                                                   .bound_here = held_->bound_here(),
                                                   .disks = disks,
                                                   .host_pid = host.pid(),
                                                   .restarts = restarts_}),
                                 descriptors);
    } catch (const Error& error) {
        log(error.what());
    }
}

void ManagedDevice::forget() {
    if (environment_.keeper)
        environment_.keeper->remove(settings_.device.text());
}

/// Goes on with what another supervisor held, and with its host if that is still at work.
void ManagedDevice::adopt(KeptEntry kept) {
    const KeptState state = kept_state(kept.state);
    if (kept.descriptors.size() < 2)
        throw_disobedient(settings_.device.text(), "too little of it was kept");
    Fd process = std::move(kept.descriptors.back());
    kept.descriptors.pop_back();
    Fd socket = std::move(kept.descriptors.back());
    kept.descriptors.pop_back();
    held_ =
        HeldDevice::adopt(settings_.device, std::move(kept.descriptors),
                          {.fd = -1, .bytes = state.arena_bytes, .iova = state.arena_iova}, state.bound_here);
    driver_ = state.driver;
    restarts_ = state.restarts;
    for (const KeptDisk& disk : state.disks)
        exports_.push_back({.disk = disk.disk, .info = disk.info, .stable_writes = disk.stable_writes});
    exports_live_ = true;
    host_ended_ = Clock::now();
    auto host = std::make_unique<HostProcess>(environment_.loop, state.host_pid, std::move(process),
                                              std::move(socket),
                                              [this](const Packet& packet) { return hear(packet); });
    if (host->alive()) {
        adopted_ = std::move(host);
        return;
    }
    last_failure_ = fmt::format("process {} ended while no outboardd watched", state.host_pid);
    log(last_failure_);
    held_->quiet();
    set_state(ManagedState::recovering);
}

/// Block devices of which nothing else is left: supervisor, keeper and host are gone.
Task<void> ManagedDevice::find_left_behind() {
    if (settings_.disks.empty())
        co_return;
    Task<std::vector<ublk::ServedDevice>> search =
        outboard::find_left_behind(environment_.control(), settings_.device, settings_.disks);
    const std::vector<ublk::ServedDevice> found = co_await std::move(search);
    if (found.empty())
        co_return;
    for (const unsigned disk : settings_.disks) {
        const ublk::ServedDevice* const one = of_disk(found, disk);
        if (!one || one->state() == ublk::DeviceState::dead || found.size() != settings_.disks.size())
            throw Error({.kind = ErrorKind::busy,
                         .action = "start",
                         .subject = settings_.device.text(),
                         .cause = fmt::format("a process that is gone has left {} behind, which does not fit "
                                              "what is wanted now",
                                              found.front().path()),
                         .remedy = fmt::format("remove it: `outboard stop {}`", settings_.device.text())});
        Task<ublk::Parameters> question = environment_.control().parameters(one->info.device_id);
        const ublk::Parameters parameters = co_await std::move(question);
        // On a disk without a volatile cache that makes no difference.
        const bool stable = (parameters.basic.attributes & ublk::attribute::volatile_cache) == 0;
        exports_.push_back({.disk = disk, .info = one->info, .stable_writes = stable});
    }
    exports_live_ = true;
    host_ended_ = Clock::now();
    log("goes on with block devices that a process which is gone had left behind");
    set_state(ManagedState::recovering);
}

// ---- what is said to a host ----

/// The next message, which has to be of this sort.
template <class Message>
Task<Message> ManagedDevice::next(HostProcess& host) {
    Task<Packet> coming = host.inbox().next();
    const Packet packet = co_await std::move(coming);
    FromHost message = decode_from_host(packet.text);
    if (const auto* const failed = std::get_if<Failed>(&message)) {
        said_why_ = true;
        throw error_of(*failed);
    }
    auto* const wanted = std::get_if<Message>(&message);
    if (!wanted)
        throw_disobedient(settings_.device.text(), "its host said something out of turn");
    co_return std::move(*wanted);
}

Task<void> ManagedDevice::converse(HostProcess& host) {
    const bool recovering = exports_live_;
    Task<void> beginning = begin_service(host, recovering);
    const std::string what = fmt::format("the start of the driver of {}", settings_.device.text());
    Task<void> limited = with_deadline(environment_.loop, std::move(beginning), start_limit, what);
    co_await std::move(limited);
    serving_since_ = Clock::now();
    exports_live_ = true;
    if (recovering)
        recovery_us_ = microseconds(serving_since_ - host_ended_);
    driver_before_.reset();
    set_state(ManagedState::running);
    keep(host);
    prepare_spare();
    Task<void> serving = serve_until_stopped(host);
    co_await std::move(serving);
}

/// The same with a host that serves already.
Task<void> ManagedDevice::go_on(HostProcess& host) {
    serving_since_ = Clock::now();
    set_state(ManagedState::running);
    log(fmt::format("went on with process {}, which another outboardd had started", host.pid()));
    prepare_spare();
    Task<void> serving = serve_until_stopped(host);
    co_await std::move(serving);
}

Task<void> ManagedDevice::begin_service(HostProcess& host, bool recovering) {
    {
        const Fd descriptor = held_->descriptor();
        host.send(Take{.device = settings_.device.text(),
                       .driver = settings_.driver,
                       .disks = settings_.disks,
                       .queues = queues_wanted(settings_),
                       .queue_depth = settings_.queue_depth,
                       .write_cache = settings_.write_cache,
                       .timeout_seconds = settings_.timeout_seconds,
                       .dma = settings_.dma,
                       .completion = settings_.completion},
                  descriptor.get());
    }
    const bool had_arena = held_->arena().fd >= 0;
    if (had_arena) {
        send_arena(host);
        if (recovering) {
            // The device is reset meanwhile.
            Task<void> handing = hand_over_disks(host);
            co_await std::move(handing);
        }
    }
    Task<Hello> greeting = next<Hello>(host);
    const Hello hello = co_await std::move(greeting);
    if (hello.version != protocol_version)
        throw_disobedient(settings_.device.text(), "its host is of another version than this program");
    Task<Needs> choosing = next<Needs>(host);
    const Needs needs = co_await std::move(choosing);
    driver_ = needs.driver;
    if (!had_arena) {
        if (needs.bytes > most_arena_bytes)
            throw_disobedient(settings_.device.text(),
                              fmt::format("its driver wants {} bytes of memory for DMA", needs.bytes));
        held_->make_arena(needs.bytes, needs.address_bits);
        send_arena(host);
        if (recovering) {
            Task<void> handing = hand_over_disks(host);
            co_await std::move(handing);
        }
    } else if (needs.bytes > held_->arena().bytes) {
        throw_disobedient(settings_.device.text(),
                          fmt::format("its driver wants {} bytes of memory for DMA, and there are {}",
                                      needs.bytes, held_->arena().bytes));
    }
    Task<hosting::Disks> starting = next<hosting::Disks>(host);
    const hosting::Disks disks = co_await std::move(starting);
    device_start_us_ = disks.start_us;
    if (recovering) {
        Task<void> checking = check_disks(disks);
        co_await std::move(checking);
    } else {
        Task<void> making = make_disks(host, disks);
        co_await std::move(making);
    }
    for (std::size_t i = 0; i < exports_.size(); ++i) {
        Task<Serving> serving = next<Serving>(host);
        co_await std::move(serving);
    }
    for (const Export& one : exports_) {
        ublk::Control& control = environment_.control();
        Task<void> going = recovering ? control.end_recovery(one.info.device_id, host.pid())
                                      : control.start(one.info.device_id, host.pid());
        co_await std::move(going);
    }
}

void ManagedDevice::send_arena(HostProcess& host) {
    const HeldArena arena = held_->arena();
    host.send(Arena{.bytes = arena.bytes, .iova = arena.iova}, arena.fd);
}

/// Gives the block devices that wait for a server to the host.
Task<void> ManagedDevice::hand_over_disks(HostProcess& host) {
    for (const Export& one : exports_) {
        Task<void> begun = environment_.control().start_recovery(one.info.device_id);
        co_await std::move(begun);
        send_disk(host, one, one.stable_writes);
    }
}

void ManagedDevice::send_disk(HostProcess& host, const Export& one, bool stable_writes) {
    // The copy here must go at once: the kernel sees the death of a server by the end of the last one.
    const Fd file = ublk::open_server_file(one.info.device_id);
    host.send(Serve{.disk = one.disk,
                    .device_id = one.info.device_id,
                    .queues = one.info.queues,
                    .queue_depth = one.info.queue_depth,
                    .max_io_bytes = one.info.max_io_bytes,
                    .flags = one.info.flags,
                    .stable_writes = stable_writes},
              file.get());
}

Task<void> ManagedDevice::make_disks(HostProcess& host, const hosting::Disks& disks) {
    if (disks.disks.size() != settings_.disks.size())
        throw_disobedient(settings_.device.text(), "its host forgot disks");
    for (std::size_t i = 0; i < disks.disks.size(); ++i) {
        const hosting::Disk& disk = disks.disks[i];
        require_sound(disk.info, settings_.device.text());
        ublk::DeviceWish wish{.disk = device_mark(settings_.device),
                              .queue_depth = settings_.queue_depth,
                              .queues = 1,
                              .batch = settings_.batch};
        wish.disk.disk = static_cast<std::uint8_t>(settings_.disks[i]);
        wish.disk.identity = ublk::identity_of(disk.info.model, disk.info.serial);
        const std::size_t share = std::max<std::size_t>(1, disk.info.max_queues / disks.disks.size());
        wish.queues = static_cast<std::uint16_t>(std::min<std::size_t>(share, queues_wanted(settings_)));
        Task<ublk::DeviceInfo> making = ublk::make_device(environment_.control(), disk.info, wish);
        const ublk::DeviceInfo info = co_await std::move(making);
        exports_.push_back({.disk = settings_.disks[i], .info = info, .stable_writes = false});
        send_disk(host, exports_.back(), false);
    }
}

/// Throws Error when what the device has now is not what its users know.
Task<void> ManagedDevice::check_disks(const hosting::Disks& disks) {
    if (disks.disks.size() != exports_.size())
        throw_disobedient(settings_.device.text(), "its host forgot disks");
    for (std::size_t i = 0; i < exports_.size(); ++i) {
        const BlockInfo& info = disks.disks[i].info;
        require_sound(info, settings_.device.text());
        const ublk::ServedDisk mark = *ublk::decode_served_disk(exports_[i].info.server_flags);
        ublk::ServedDevice device{.info = exports_[i].info, .disk = mark};
        device.info.state = static_cast<std::uint16_t>(ublk::DeviceState::quiesced);
        Task<ublk::Continuation> examining = ublk::examine(environment_.control(), info, device);
        ublk::Continuation found = co_await std::move(examining);
        if (found.obstacle.empty() && mark.identity != ublk::identity_of(info.model, info.serial))
            found.obstacle = "it is another disk than before";
        if (found.obstacle.empty() && found.stable_writes && !exports_[i].stable_writes)
            found.obstacle = "it has a volatile write cache now, and users do not know";
        if (!found.obstacle.empty())
            throw_disobedient(settings_.device.text(),
                              fmt::format("disk {} cannot go on as {}: {}", exports_[i].disk, device.path(),
                                          found.obstacle));
    }
}

Task<void> ManagedDevice::serve_until_stopped(HostProcess& host) {
    if (stop_wanted_) {
        set_state(ManagedState::stopping);
        host.send(Cease{});
    }
    Task<Ceasing> ceasing = next<Ceasing>(host);
    co_await std::move(ceasing);
    try {
        Task<void> sync = sync_everything(environment_.loop, 30s);
        co_await std::move(sync);
    } catch (const Error& error) {
        log(error.what());
    }
    for (const Export& one : exports_) {
        Task<void> stopping = environment_.control().stop(one.info.device_id);
        co_await std::move(stopping);
    }
    host.send(Finish{});
    Task<Finished> finishing = next<Finished>(host);
    co_await std::move(finishing);
}

// ---- its end ----

Task<void> ManagedDevice::end(std::string failure) {
    spare_.reset();
    try {
        Task<void> removing = take_disks_away();
        co_await std::move(removing);
    } catch (const Error& error) {
        log(error.what());
    }
    try {
        forget();
        if (held_)
            held_->release();
    } catch (const Error& error) {
        log(error.what());
    }
    held_.reset();
    if (!failure.empty()) {
        last_failure_ = failure;
        log(failure);
    }
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
