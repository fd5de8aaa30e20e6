#include "outboard/host/serve_disk.hpp"

#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/pci/usage.hpp"
#include "outboard/base/error.hpp"
#include "outboard/export/ublk/ublk_export.hpp"
#include "outboard/host/device_host.hpp"
#include "outboard/host/device_mark.hpp"
#include "outboard/host/forward_progress.hpp"
#include "outboard/runtime/deadline.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outboard {

namespace {

using namespace std::chrono_literals;

using Report = std::function<void(std::string_view)>;

/// The mark of one disk of a device. Throws Error when its number does not fit.
ublk::ServedDisk mark_of(const DeviceName& device, unsigned disk) {
    if (disk > ublk::ServedDisk::max_disk)
        throw Error({.kind = ErrorKind::unsupported,
                     .action = "serve",
                     .subject = device.text(),
                     .cause = fmt::format("disk {} does not fit the mark of a ublk device", disk),
                     .remedy = {}});
    ublk::ServedDisk mark = device_mark(device);
    mark.disk = static_cast<std::uint8_t>(disk);
    return mark;
}

/// The device of this disk that an earlier process left behind. Throws Error when a process serves it still.
Task<std::optional<ublk::ServedDevice>> find_left_behind(ublk::Control& control, ublk::ServedDisk mark,
                                                         std::string name) {
    Task<std::vector<ublk::ServedDevice>> search = ublk::find_served_devices(control);
    const std::vector<ublk::ServedDevice> devices = co_await std::move(search);
    for (const ublk::ServedDevice& device : devices) {
        if (!device.disk.same_place(mark))
            continue;
        if (device.has_server())
            throw Error(
                {.kind = ErrorKind::busy,
                 .action = "serve",
                 .subject = name,
                 .cause = fmt::format("process {} serves it as {}", device.info.server_pid, device.path()),
                 .remedy = fmt::format("end that process first: kill {}", device.info.server_pid)});
        co_return device;
    }
    co_return std::nullopt;
}

Task<int> fired(RunLoop& loop, int eventfd) {
    std::uint64_t count = 0;
    co_return co_await loop.event(eventfd, count);
}

/// sync(2) in a thread of its own, because this one has to write what it asks for. Gives up after `limit`.
Task<void> sync_everything(RunLoop& loop, Duration limit) {
    const auto done = std::make_shared<Fd>(::eventfd(0, EFD_CLOEXEC));
    std::thread([done] {
        ::sync();
        ::eventfd_write(done->get(), 1);
    }).detach();
    Task<int> event = fired(loop, done->get());
    Task<int> limited = with_deadline(loop, std::move(event), limit, "writing what the page cache holds");
    co_await std::move(limited);
}

/// Waits until nobody uses the disk, `grace` is over or another signal comes. True when it is free.
Task<bool> wait_for_users(RunLoop& loop, StopSignals& signals, std::string disk, std::chrono::seconds grace,
                          const Report& report) {
    const Inventory inventory;
    const TimePoint deadline = Clock::now() + grace;
    bool told = false;
    for (;;) {
        const std::vector<std::string> users = disk_users(inventory, disk);
        if (users.empty())
            co_return true;
        if (!told)
            report(fmt::format("waiting at most {} s (until another signal) for what uses the disk: {}",
                               grace.count(), join(users)));
        told = true;
        if (Clock::now() >= deadline || signals.take()) {
            report(fmt::format("still in use; what comes from now on fails: {}", join(users)));
            co_return false;
        }
        co_await loop.sleep_for(100ms);
    }
}

/// Lets a stop signal cancel what the loop runs.
Task<void> cancel_on_signal(RunLoop& loop, StopSignals& signals) {
    Task<void> signal = signals.next(loop);
    co_await std::move(signal);
    loop.stop();
}

/// The orderly end of an export.
Task<void> end_export(RunLoop& loop, StopSignals& signals, ublk::UblkExport& disk, std::chrono::seconds grace,
                      const Report& report) {
    Task<bool> waiting = wait_for_users(loop, signals, disk.disk_name(), grace, report);
    static_cast<void>(co_await std::move(waiting));
    // Also when nobody is listed: a file system that is just being unmounted is in no list any more and still
    // writes. sync(2) waits for that.
    try {
        Task<void> sync = sync_everything(loop, 30s);
        co_await std::move(sync);
    } catch (const Error& error) {
        report(error.what());
    }
    Task<void> stopped = disk.stop();
    co_await std::move(stopped);
}

/// Two disks of one size can change places: one does not answer, and the next takes its index. What waits for
/// the first must not be written to the second.
void require_same_disk(const ublk::ServedDevice& left_behind, const ublk::ServedDisk& mark,
                       const std::string& name, const BlockInfo& info) {
    if (left_behind.state() == ublk::DeviceState::dead || left_behind.disk.identity == mark.identity)
        return;
    throw Error(
        {.kind = ErrorKind::busy,
         .action = "take over",
         .subject = left_behind.path(),
         .cause = fmt::format("it was left behind with another disk than the one that is disk {} of {} "
                              "now: {}",
                              mark.disk, name, describe_disk(info)),
         .remedy = fmt::format("bring that disk back, or give up what waits for it with `outboard stop "
                               "{} --force`",
                               name)});
}

/// Why an export cannot go on, if it cannot.
std::exception_ptr refusal(const ublk::UblkExport& exported) {
    try {
        exported.require_intact();
    } catch (...) {
        return std::current_exception();
    }
    return nullptr;
}

/// Serves one disk of an open device; on return its queue is gone.
Task<void> serve(RunLoop& loop, StopSignals& signals, ublk::Control& control, DeviceHost& host,
                 const ServeOptions& options, ublk::ServedDisk mark,
                 std::optional<ublk::ServedDevice> left_behind, Task<void> cancel_start) {
    const Report& report = options.driver.report;
    BlockDevice& disk = host.disk(options.disk);
    mark.identity = ublk::identity_of(disk.info().model, disk.info().serial);
    if (left_behind)
        require_same_disk(*left_behind, mark, options.device.text(), disk.info());
    // Before the disk is there: one that is taken over is written to from its first moment.
    const std::vector<std::string> warnings = secure_forward_progress();
    for (const std::string& warning : warnings)
        report(warning);
    ublk::ExportOptions export_options;
    export_options.disk = mark;
    export_options.queue_depth = options.queue_depth;
    Task<std::unique_ptr<ublk::UblkExport>> starting =
        ublk::UblkExport::start(loop, control, disk, export_options, std::move(left_behind));
    const std::unique_ptr<ublk::UblkExport> exported = co_await std::move(starting);
    if (!exported->removed_because().empty())
        report(fmt::format("removed the device that an earlier process had left behind: {}",
                           exported->removed_because()));
    cancel_start = {};
    std::exception_ptr failure;
    try {
        if (options.ready)
            options.ready({.path = exported->path(),
                           .info = &disk.info(),
                           .queue_depth = exported->queue_depth(),
                           .taken_over = exported->taken_over()});
        Task<void> signal = signals.next(loop);
        co_await std::move(signal);
    } catch (const Cancelled&) {
        // The loop was told to stop, or the signal came in the last moment of the start: the same end.
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure)
        failure = refusal(*exported);
    Task<void> ending = end_export(loop, signals, *exported, options.grace, report);
    co_await std::move(ending);
    if (failure)
        std::rethrow_exception(failure);
}

}  // namespace

Task<void> serve_disk(RunLoop& loop, StopSignals& signals, ServeOptions options) {
    ublk::ServedDisk mark = mark_of(options.device, options.disk);
    if (const std::string warning = begin_forward_progress(); !warning.empty())
        options.driver.report(warning);
    Task<void> cancel_start = cancel_on_signal(loop, signals);
    cancel_start.start();
    ublk::Control control(loop);
    Task<std::optional<ublk::ServedDevice>> search = find_left_behind(control, mark, options.device.text());
    std::optional<ublk::ServedDevice> left_behind = co_await std::move(search);
    const std::uint16_t depth = left_behind ? left_behind->info.queue_depth : options.queue_depth;

    DeviceHostOptions host_options;
    host_options.device = options.device;
    host_options.driver = options.driver;
    host_options.arena_bytes = ublk::export_arena_bytes(std::max(depth, options.queue_depth));
    Task<std::unique_ptr<DeviceHost>> opening = DeviceHost::open(loop, host_options);
    const std::unique_ptr<DeviceHost> host = co_await std::move(opening);
    // A process that was killed could not give the device back; that is left to this one.
    mark.hand_back = host->bound_here() || (left_behind && left_behind->disk.hand_back);

    std::exception_ptr failure;
    try {
        Task<void> serving = serve(loop, signals, control, *host, options, mark, std::move(left_behind),
                                   std::move(cancel_start));
        co_await std::move(serving);
    } catch (...) {
        failure = std::current_exception();
    }
    Task<void> closing = host->close(mark.hand_back);
    co_await std::move(closing);
    if (failure)
        std::rethrow_exception(failure);
}

}  // namespace outboard
