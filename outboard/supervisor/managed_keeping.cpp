// What of a device outlives outboardd, and how the next one goes on with it.
#include "outboard/base/error.hpp"
#include "outboard/host/left_behind.hpp"
#include "outboard/supervisor/managed_device.hpp"

#include <optional>
#include <utility>

#include <fmt/format.h>

namespace outboard {

void ManagedDevice::keep(const HostProcess& host) {
    if (!environment_.keeper)
        return;
    std::vector<KeptDisk> disks;
    for (const Export& one : exports_)
        disks.push_back({.disk = one.disk, .info = one.info, .stable_writes = one.stable_writes});
    std::vector<int> descriptors = held_->kept();
    descriptors.push_back(host.socket());
    descriptors.push_back(host.process());
    put({.driver = driver_, .disks = disks, .host_pid = host.pid(), .restarts = restarts_}, descriptors);
}

void ManagedDevice::keep_quarantine() {
    // Without memory it has not got as far as to be of use.
    if (environment_.keeper && held_->arena().fd >= 0)
        put({.driver = driver_, .restarts = restarts_, .quarantine = last_failure_}, held_->kept());
}

void ManagedDevice::put(KeptState state, std::vector<int> descriptors) {
    const HeldArena arena = held_->arena();
    state.arena_bytes = arena.bytes;
    state.arena_iova = arena.iova;
    state.bound_here = held_->bound_here();
    try {
        environment_.keeper->put(settings_.device.text(), to_json(state), descriptors);
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
    driver_ = state.driver;
    restarts_ = state.restarts;
    for (const KeptDisk& disk : state.disks)
        exports_.push_back({.disk = disk.disk, .info = disk.info, .stable_writes = disk.stable_writes});
    const HeldArena arena{.fd = -1, .bytes = state.arena_bytes, .iova = state.arena_iova};
    if (!state.quarantine.empty()) {
        held_ = HeldDevice::adopt(settings_.device, std::move(kept.descriptors), arena, state.bound_here);
        last_failure_ = state.quarantine;
        quarantined_ = true;
        return;
    }
    if (kept.descriptors.size() < 2)
        throw_disobedient("too little of it was kept");
    Fd process = std::move(kept.descriptors.back());
    kept.descriptors.pop_back();
    Fd socket = std::move(kept.descriptors.back());
    kept.descriptors.pop_back();
    held_ = HeldDevice::adopt(settings_.device, std::move(kept.descriptors), arena, state.bound_here);
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
}  // namespace outboard
