// What a supervisor and a host say to each other, from the first word to the orderly end.
#include "outboard/base/error.hpp"
#include "outboard/export/ublk/disk_control.hpp"
#include "outboard/host/device_mark.hpp"
#include "outboard/host/drain_disks.hpp"
#include "outboard/runtime/deadline.hpp"
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

/// More memory than this for one driver is a mistake, or worse.
constexpr std::uint64_t most_arena_bytes = std::uint64_t{4} << 30;
/// Beyond what the driver's own deadlines for a reset allow.
constexpr Duration start_limit = 120s;

std::uint64_t microseconds(Duration duration) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
}

}  // namespace

void ManagedDevice::throw_disobedient(std::string cause) const {
    throw Error({.kind = ErrorKind::failed,
                 .action = "have driven",
                 .subject = settings_.device.text(),
                 .cause = std::move(cause),
                 .remedy = {}});
}

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
        throw_disobedient("its host said something out of turn");
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
                       .queues = settings_.queues_wanted(),
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
        throw_disobedient("its host is of another version than this program");
    Task<Needs> choosing = next<Needs>(host);
    const Needs needs = co_await std::move(choosing);
    driver_ = needs.driver;
    if (!had_arena) {
        if (needs.bytes > most_arena_bytes)
            throw_disobedient(fmt::format("its driver wants {} bytes of memory for DMA", needs.bytes));
        held_->make_arena(needs.bytes, needs.address_bits);
        send_arena(host);
        if (recovering) {
            Task<void> handing = hand_over_disks(host);
            co_await std::move(handing);
        }
    } else if (needs.bytes > held_->arena().bytes) {
        throw_disobedient(fmt::format("its driver wants {} bytes of memory for DMA, and there are {}",
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
        throw_disobedient("its host forgot disks");
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
        wish.queues = static_cast<std::uint16_t>(std::min<std::size_t>(share, settings_.queues_wanted()));
        Task<ublk::DeviceInfo> making = ublk::make_device(environment_.control(), disk.info, wish);
        const ublk::DeviceInfo info = co_await std::move(making);
        exports_.push_back({.disk = settings_.disks[i], .info = info, .stable_writes = false});
        send_disk(host, exports_.back(), false);
    }
}

/// Throws Error when what the device has now is not what its users know.
Task<void> ManagedDevice::check_disks(const hosting::Disks& disks) {
    if (disks.disks.size() != exports_.size())
        throw_disobedient("its host forgot disks");
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
            throw_disobedient(fmt::format("disk {} cannot go on as {}: {}", exports_[i].disk, device.path(),
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

}  // namespace outboard
