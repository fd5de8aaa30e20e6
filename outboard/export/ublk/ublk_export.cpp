#include "outboard/export/ublk/ublk_export.hpp"

#include "outboard/base/file.hpp"
#include "outboard/export/ublk/parameters.hpp"

#include <exception>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace outboard::ublk {

std::size_t export_arena_bytes(std::uint16_t queues, std::uint16_t queue_depth) noexcept {
    return std::size_t{queues} * queue_depth * largest_request;
}

UblkExport::~UblkExport() {
    // Not stopped: the kernel keeps the device for the next process.
    for (std::unique_ptr<QueueService>& queue : queues_)
        QueueService::abandon(std::move(queue));
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
        bool stable_writes = false;
        if (left_behind->state() == DeviceState::dead) {
            self->removed_because_ = "it had no disk any more";
        } else {
            Task<Parameters> question = control.parameters(id);
            const Parameters old = co_await std::move(question);
            self->removed_because_ = mismatch(old, disk.info(), request_buffer_bytes(disk.info()));
            if (left_behind->info.queues > disk.info().max_queues)
                self->removed_because_ = fmt::format("it had {} queues, and the disk has {} now",
                                                     left_behind->info.queues, disk.info().max_queues);
            // It was announced as a disk without a volatile cache: nobody sends flushes.
            stable_writes =
                disk.info().volatile_write_cache && (old.basic.attributes & attribute::volatile_cache) == 0;
        }
        if (self->removed_because_.empty()) {
            Task<void> task = self->take_over(disk, options, *left_behind, stable_writes);
            co_await std::move(task);
            co_return std::move(self);
        }
        Task<void> removal = control.remove(id);
        co_await std::move(removal);
    }
    Task<void> task = self->create(disk, options);
    co_await std::move(task);
    co_return std::move(self);
}

Task<void> UblkExport::create(BlockDevice& disk, const ExportOptions& options) {
    std::uint64_t batch = 0;
    if (options.batch) {
        Task<std::uint64_t> question = control_->features();
        const std::uint64_t features = co_await std::move(question);
        batch = features & feature::batch_io;
    }
    DeviceInfo wanted{};
    wanted.queues = options.queues;
    wanted.queue_depth = options.queue_depth;
    wanted.max_io_bytes = request_buffer_bytes(disk.info());
    wanted.device_id = any_device;
    wanted.server_pid = ::getpid();
    wanted.flags = feature::user_recovery | feature::user_recovery_reissue | feature::ioctl_encoding | batch;
    wanted.server_flags = encode(options.disk);
    Task<DeviceInfo> addition = control_->add(wanted);
    info_ = co_await std::move(addition);

    std::exception_ptr failure;
    try {
        Task<void> parameters =
            control_->set_parameters(info_.device_id, make_parameters(disk.info(), info_.max_io_bytes));
        co_await std::move(parameters);
        Task<void> starting = start_queues(disk, options, false);
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

Task<void> UblkExport::take_over(BlockDevice& disk, const ExportOptions& options, const ServedDevice& old,
                                 bool stable_writes) {
    info_ = old.info;
    std::exception_ptr failure;
    try {
        Task<void> begun = control_->start_recovery(info_.device_id);
        co_await std::move(begun);
        Task<void> starting = start_queues(disk, options, stable_writes);
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
        require_intact();
    } catch (...) {
        return std::current_exception();
    }
    return seen;
}

Task<void> UblkExport::start_queues(BlockDevice& disk, const ExportOptions& options, bool stable_writes) {
    file_ = open_file(server_path(info_.device_id), O_RDWR);
    for (std::uint16_t number = 0; number < info_.queues; ++number) {
        queues_.push_back(
            std::make_unique<QueueService>(*loop_, disk,
                                           QueueService::Setup{.file = file_.get(),
                                                               .info = info_,
                                                               .number = number,
                                                               .stable_writes = stable_writes,
                                                               .path = path(),
                                                               .prepare_thread = options.prepare_thread}));
        try {
            queues_.back()->start(info_.queues > 1);
        } catch (...) {
            queues_.pop_back();
            throw;
        }
    }
    Task<void> settling = settle();
    co_await std::move(settling);
    require_intact();
}

Task<void> UblkExport::settle() {
    for (const std::unique_ptr<QueueService>& queue : queues_) {
        Task<void> settled = queue->settled();
        co_await std::move(settled);
    }
}

void UblkExport::require_intact() {
    for (const std::unique_ptr<QueueService>& queue : queues_)
        queue->require_intact();
}

void UblkExport::expect_end() noexcept {
    for (const std::unique_ptr<QueueService>& queue : queues_)
        queue->expect_end();
}

Task<void> UblkExport::stop() {
    expect_end();
    // A queue that is just being started would ask for requests after the end.
    Task<void> settling = settle();
    co_await std::move(settling);
    Task<void> stopped = control_->stop(info_.device_id);
    co_await std::move(stopped);
    for (const std::unique_ptr<QueueService>& queue : queues_) {
        Task<void> end = queue->end();
        co_await std::move(end);
    }
    queues_.clear();
    file_.reset();
    Task<void> removed = control_->remove(info_.device_id);
    co_await std::move(removed);
}

}  // namespace outboard::ublk
