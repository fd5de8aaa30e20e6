#include "outboard/export/ublk/ublk_export.hpp"

#include "outboard/export/ublk/parameters.hpp"

#include <exception>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

namespace outboard::ublk {

std::size_t export_arena_bytes(std::uint16_t queues, std::uint16_t queue_depth) noexcept {
    return std::size_t{queues} * queue_depth * largest_request;
}

std::string UblkExport::disk_name() const {
    return fmt::format("ublkb{}", info_.device_id);
}

Task<std::unique_ptr<UblkExport>> UblkExport::start(RunLoop& loop, Control& control, BlockDevice& disk,
                                                    ExportOptions options,
                                                    std::optional<ServedDevice> left_behind) {
    std::unique_ptr<UblkExport> self(new UblkExport(loop, control));
    if (left_behind) {
        const std::uint32_t id = left_behind->info.device_id;
        Task<Continuation> examination = examine(control, disk.info(), *left_behind);
        const Continuation found = co_await std::move(examination);
        self->removed_because_ = found.obstacle;
        if (self->removed_because_.empty()) {
            Task<void> task = self->take_over(disk, std::move(options), *left_behind, found.stable_writes);
            co_await std::move(task);
            co_return std::move(self);
        }
        Task<void> removal = control.remove(id);
        co_await std::move(removal);
    }
    Task<void> task = self->create(disk, std::move(options));
    co_await std::move(task);
    co_return std::move(self);
}

Task<void> UblkExport::create(BlockDevice& disk, ExportOptions options) {
    Task<DeviceInfo> making = make_device(*control_, disk.info(), options.device);
    info_ = co_await std::move(making);

    std::exception_ptr failure;
    try {
        Task<void> starting = start_server(disk, options, false);
        co_await std::move(starting);
        Task<void> started = control_->start(info_.device_id, ::getpid());
        co_await std::move(started);
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure)
        co_return;
    failure = first_cause(failure);
    Task<void> cleaning = stop();
    co_await std::move(cleaning);
    std::rethrow_exception(failure);
}

Task<void> UblkExport::take_over(BlockDevice& disk, ExportOptions options, ServedDevice old,
                                 bool stable_writes) {
    info_ = old.info;
    std::exception_ptr failure;
    try {
        Task<void> begun = control_->start_recovery(info_.device_id);
        co_await std::move(begun);
        Task<void> starting = start_server(disk, options, stable_writes);
        co_await std::move(starting);
        Task<void> ended = control_->end_recovery(info_.device_id, ::getpid());
        co_await std::move(ended);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure)
        std::rethrow_exception(first_cause(failure));
    taken_over_ = true;
}

/// A queue that fails cancels what the main loop runs: that is not what the user is to read.
std::exception_ptr UblkExport::first_cause(std::exception_ptr seen) {
    try {
        if (server_)
            server_->require_intact();
    } catch (...) {
        return std::current_exception();
    }
    return seen;
}

Task<void> UblkExport::start_server(BlockDevice& disk, const ExportOptions& options, bool stable_writes) {
    server_ = std::make_unique<DiskServer>(*loop_, disk,
                                           DiskServerSetup{.file = open_server_file(info_.device_id),
                                                           .info = info_,
                                                           .stable_writes = stable_writes,
                                                           .prepare_thread = options.prepare_thread});
    Task<void> starting = server_->start();
    co_await std::move(starting);
}

Task<void> UblkExport::stop() {
    if (server_) {
        server_->expect_end();
        // A queue that is just being started would ask for requests after the end.
        Task<void> settling = server_->settle();
        co_await std::move(settling);
    }
    Task<void> stopped = control_->stop(info_.device_id);
    co_await std::move(stopped);
    if (server_) {
        Task<void> end = server_->end();
        co_await std::move(end);
    }
    Task<void> removed = control_->remove(info_.device_id);
    co_await std::move(removed);
}

}  // namespace outboard::ublk
