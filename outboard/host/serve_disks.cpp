#include "outboard/host/serve_disks.hpp"

#include "outboard/base/error.hpp"
#include "outboard/export/ublk/ublk_export.hpp"
#include "outboard/host/device_host.hpp"
#include "outboard/host/device_mark.hpp"
#include "outboard/host/drain_disks.hpp"
#include "outboard/host/forward_progress.hpp"
#include "outboard/host/left_behind.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <numeric>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace outboard {

namespace {

using Report = std::function<void(std::string_view)>;
using LeftBehind = std::vector<ublk::ServedDevice>;

/// Throws Error when the number of a disk does not fit the mark of its block device.
void require_markable(const DeviceName& device, const std::vector<unsigned>& disks) {
    for (const unsigned disk : disks) {
        if (disk > ublk::ServedDisk::max_disk)
            throw Error({.kind = ErrorKind::unsupported,
                         .action = "serve",
                         .subject = device.text(),
                         .cause = fmt::format("disk {} does not fit the mark of a ublk device", disk),
                         .remedy = {}});
    }
}

unsigned wanted_queues(const ServeOptions& options) {
    return options.queues != 0 ? options.queues : std::max(1U, std::thread::hardware_concurrency());
}

/// Lets driver and arena be made for these disks.
void plan(DeviceHostOptions& host, const DriverDescription& driver, const ServeOptions& options,
          const std::vector<unsigned>& disks, const LeftBehind& left_behind) {
    host.driver.queues = 0;
    host.arena_bytes = 0;
    for (const unsigned disk : disks) {
        auto queues = static_cast<std::uint16_t>(driver.makes_queues() ? wanted_queues(options) : 1);
        std::uint16_t depth = options.queue_depth;
        // One that was left behind may turn out not to fit, and is made anew as it is wanted.
        if (const ublk::ServedDevice* const old = of_disk(left_behind, disk)) {
            queues = std::max(queues, old->info.queues);
            depth = std::max(depth, old->info.queue_depth);
        }
        host.driver.queues += queues;
        host.arena_bytes += ublk::export_arena_bytes(queues, depth);
    }
}

/// Lets a stop signal cancel what the loop runs.
Task<void> cancel_on_signal(RunLoop& loop, StopSignals& signals) {
    Task<void> signal = signals.next(loop);
    co_await std::move(signal);
    loop.stop();
}

/// The disks of an open device at work as block devices.
class Exports {
  public:
    Exports(RunLoop& loop, ublk::Control& control, DeviceHost& host, const ServeOptions& options) noexcept
        : loop_(&loop), control_(&control), host_(&host), options_(&options) {}

    /// Starts all of `disks`, or none.
    Task<void> start(const std::vector<unsigned>& disks, const LeftBehind& left_behind, bool hand_back);
    void announce() const;
    /// What went wrong with one of them, if something has.
    std::exception_ptr failure() const;
    /// Drains and stops all; throws the first thing that went wrong.
    Task<void> end(StopSignals& signals);

  private:
    struct Served {
        unsigned number;
        BlockDevice* disk;
        std::unique_ptr<ublk::UblkExport> exported;
    };

    ublk::ServedDisk mark_of(unsigned number, const BlockInfo& info, bool hand_back) const;
    std::size_t share_of(const std::vector<unsigned>& disks, const LeftBehind& left_behind) const;
    Task<void> start_one(unsigned number, std::size_t share, std::optional<ublk::ServedDevice> left_behind,
                         bool hand_back);
    Task<void> stop_all();
    Task<void> undo_start();

    RunLoop* loop_;
    ublk::Control* control_;
    DeviceHost* host_;
    const ServeOptions* options_;
    std::vector<Served> served_;
};

ublk::ServedDisk Exports::mark_of(unsigned number, const BlockInfo& info, bool hand_back) const {
    ublk::ServedDisk mark = device_mark(options_->device);
    mark.disk = static_cast<std::uint8_t>(number);
    mark.identity = ublk::identity_of(info.model, info.serial);
    mark.hand_back = hand_back;
    return mark;
}

Task<void> Exports::start(const std::vector<unsigned>& disks, const LeftBehind& left_behind, bool hand_back) {
    for (const unsigned number : disks) {
        const BlockInfo& info = host_->disk(number).info();
        if (const ublk::ServedDevice* const old = of_disk(left_behind, number))
            require_same_disk(*old, mark_of(number, info, hand_back), options_->device, info);
    }
    std::exception_ptr failure;
    try {
        for (const unsigned number : disks) {
            const ublk::ServedDevice* const old = of_disk(left_behind, number);
            Task<void> starting = start_one(number, share_of(disks, left_behind),
                                            old ? std::optional(*old) : std::nullopt, hand_back);
            co_await std::move(starting);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure)
        co_return;
    if (const std::exception_ptr first = this->failure())
        failure = first;
    Task<void> undoing = undo_start();
    co_await std::move(undoing);
    std::rethrow_exception(failure);
}

/// Several disks of a controller may share its queues: how many each has that is new. One that was left
/// behind keeps its number.
std::size_t Exports::share_of(const std::vector<unsigned>& disks, const LeftBehind& left_behind) const {
    std::size_t free = host_->disk(disks.front()).info().max_queues;
    std::size_t fresh = 0;
    for (const unsigned number : disks) {
        if (const ublk::ServedDevice* const old = of_disk(left_behind, number))
            free -= std::min<std::size_t>(free, old->info.queues);
        else
            ++fresh;
    }
    return std::max<std::size_t>(1, free / std::max<std::size_t>(1, fresh));
}

Task<void> Exports::start_one(unsigned number, std::size_t share,
                              std::optional<ublk::ServedDevice> left_behind, bool hand_back) {
    BlockDevice& disk = host_->disk(number);
    const BlockInfo& info = disk.info();
    ublk::ExportOptions options;
    options.device.disk = mark_of(number, info, hand_back);
    options.device.queue_depth = options_->queue_depth;
    options.device.queues =
        static_cast<std::uint16_t>(std::min<std::size_t>(wanted_queues(*options_), share));
    options.device.batch = options_->batch;
    options.prepare_thread = secure_thread;
    Task<std::unique_ptr<ublk::UblkExport>> starting =
        ublk::UblkExport::start(*loop_, *control_, disk, std::move(options), std::move(left_behind));
    std::unique_ptr<ublk::UblkExport> exported = co_await std::move(starting);
    if (!exported->removed_because().empty())
        options_->driver.report(fmt::format("removed the device that an earlier process had left behind: {}",
                                            exported->removed_because()));
    served_.push_back({.number = number, .disk = &disk, .exported = std::move(exported)});
}

void Exports::announce() const {
    if (!options_->ready)
        return;
    for (const Served& one : served_)
        options_->ready({.path = one.exported->path(),
                         .number = one.number,
                         .info = &one.disk->info(),
                         .queues = one.exported->queues(),
                         .queue_depth = one.exported->queue_depth(),
                         .batched = one.exported->batched(),
                         .taken_over = one.exported->taken_over()});
}

std::exception_ptr Exports::failure() const {
    try {
        for (const Served& one : served_)
            one.exported->require_intact();
    } catch (...) {
        return std::current_exception();
    }
    return nullptr;
}

Task<void> Exports::stop_all() {
    std::exception_ptr failure;
    for (const Served& one : served_) {
        try {
            Task<void> stopped = one.exported->stop();
            co_await std::move(stopped);
        } catch (...) {
            failure = failure ? failure : std::current_exception();
        }
    }
    served_.clear();
    if (failure)
        std::rethrow_exception(failure);
}

/// What was taken over has users who wait; nobody uses what is new.
Task<void> Exports::undo_start() {
    std::erase_if(served_, [](const Served& one) { return one.exported->taken_over(); });
    try {
        Task<void> stopping = stop_all();
        co_await std::move(stopping);
    } catch (const Error& error) {
        options_->driver.report(error.what());
    }
}

Task<void> Exports::end(StopSignals& signals) {
    std::vector<std::string> names;
    for (const Served& one : served_) {
        // What ends from here on is no reason to stop the loop, and with it this.
        one.exported->expect_end();
        names.push_back(one.exported->disk_name());
    }
    std::exception_ptr failure;
    try {
        Task<void> draining =
            drain_disks(*loop_, signals, std::move(names), options_->grace, options_->driver.report);
        co_await std::move(draining);
    } catch (...) {
        failure = std::current_exception();
    }
    Task<void> stopping = stop_all();
    co_await std::move(stopping);
    if (failure)
        std::rethrow_exception(failure);
}

/// Serves disks of an open device; on return their queues are gone.
Task<void> serve(RunLoop& loop, StopSignals& signals, Exports& exports, const std::vector<unsigned>& disks,
                 const LeftBehind& left_behind, bool hand_back, const Report& report,
                 Task<void> cancel_start) {
    // Before the disks are there: one that is taken over is written to from its first moment.
    const std::vector<std::string> warnings = secure_forward_progress();
    for (const std::string& warning : warnings)
        report(warning);
    Task<void> starting = exports.start(disks, left_behind, hand_back);
    co_await std::move(starting);
    cancel_start = {};
    std::exception_ptr failure;
    try {
        exports.announce();
        Task<void> signal = signals.next(loop);
        co_await std::move(signal);
    } catch (const Cancelled&) {
        // The loop was told to stop, or the signal came in the last moment of the start: the same end.
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure)
        failure = exports.failure();
    try {
        Task<void> ending = exports.end(signals);
        co_await std::move(ending);
    } catch (...) {
        // What follows from the first failure is not the news.
        if (!failure)
            failure = std::current_exception();
    }
    if (failure)
        std::rethrow_exception(failure);
}

/// Opens the device for the disks that are wanted, and says which these are.
Task<std::unique_ptr<DeviceHost>> open_host(RunLoop& loop, const ServeOptions& options,
                                            const LeftBehind& left_behind, std::vector<unsigned>& disks) {
    DeviceHostOptions host_options;
    host_options.device = options.device;
    host_options.driver = options.driver;
    host_options.adapt = [&](const DriverDescription& driver, DeviceHostOptions& host) {
        plan(host, driver, options, disks, left_behind);
    };
    disks = options.disks;
    if (disks.empty())
        disks.push_back(0);
    Task<std::unique_ptr<DeviceHost>> opening = DeviceHost::open(loop, host_options);
    std::unique_ptr<DeviceHost> host = co_await std::move(opening);
    const std::size_t found = host->driver().block_devices().size();
    if (options.disks.empty() && found > 1) {
        disks.resize(found);
        std::iota(disks.begin(), disks.end(), 0U);
        Task<void> restarting = host->restart(loop, host_options);
        co_await std::move(restarting);
    }
    co_return std::move(host);
}

}  // namespace

Task<void> serve_disks(RunLoop& loop, StopSignals& signals, ServeOptions options) {
    require_markable(options.device, options.disks);
    if (const std::string warning = begin_forward_progress(); !warning.empty())
        options.driver.report(warning);
    Task<void> cancel_start = cancel_on_signal(loop, signals);
    cancel_start.start();
    ublk::Control control(loop);
    Task<LeftBehind> search = find_left_behind(control, options.device, options.disks);
    const LeftBehind left_behind = co_await std::move(search);

    std::vector<unsigned> disks;
    Task<std::unique_ptr<DeviceHost>> opening = open_host(loop, options, left_behind, disks);
    const std::unique_ptr<DeviceHost> host = co_await std::move(opening);
    // A process that was killed could not give the device back; that is left to this one.
    const bool hand_back = host->bound_here() || std::ranges::any_of(disks, [&](unsigned disk) {
                               const ublk::ServedDevice* const old = of_disk(left_behind, disk);
                               return old != nullptr && old->disk.hand_back;
                           });

    std::exception_ptr failure;
    try {
        require_markable(options.device, disks);
        Exports exports(loop, control, *host, options);
        Task<void> serving = serve(loop, signals, exports, disks, left_behind, hand_back,
                                   options.driver.report, std::move(cancel_start));
        co_await std::move(serving);
    } catch (...) {
        failure = std::current_exception();
    }
    Task<void> closing = host->close(hand_back);
    co_await std::move(closing);
    if (failure)
        std::rethrow_exception(failure);
}

}  // namespace outboard
