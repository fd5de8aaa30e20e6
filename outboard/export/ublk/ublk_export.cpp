#include "outboard/export/ublk/ublk_export.hpp"

#include "outboard/base/error.hpp"
#include "outboard/export/ublk/parameters.hpp"
#include "outboard/runtime/deadline.hpp"

#include <chrono>
#include <exception>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

namespace outboard::ublk {

namespace {

using namespace std::chrono_literals;

}  // namespace

std::size_t export_arena_bytes(std::uint16_t queue_depth) noexcept {
    return std::size_t{queue_depth} * largest_request;
}

UblkExport::~UblkExport() {
    // Not stopped: the kernel may still complete commands into the queue's memory, so that stays until the
    // process ends. The kernel keeps the device for the next process.
    if (queue_ && !queue_->retired())
        ServingQueue::abandon(std::move(queue_));
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
            // It was announced as a disk without a volatile cache: nobody sends flushes.
            stable_writes =
                disk.info().volatile_write_cache && (old.basic.attributes & attribute::volatile_cache) == 0;
        }
        if (self->removed_because_.empty()) {
            Task<void> task = self->take_over(disk, *left_behind, stable_writes);
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
    DeviceInfo wanted{};
    wanted.queues = 1;
    wanted.queue_depth = options.queue_depth;
    wanted.max_io_bytes = request_buffer_bytes(disk.info());
    wanted.device_id = any_device;
    wanted.server_pid = ::getpid();
    wanted.flags = feature::user_recovery | feature::user_recovery_reissue | feature::ioctl_encoding;
    wanted.server_flags = encode(options.disk);
    Task<DeviceInfo> addition = control_->add(wanted);
    info_ = co_await std::move(addition);

    std::exception_ptr failure;
    try {
        Task<void> parameters =
            control_->set_parameters(info_.device_id, make_parameters(disk.info(), info_.max_io_bytes));
        co_await std::move(parameters);
        queue_ = std::make_unique<ServingQueue>(*loop_, disk, info_, false);
        Task<void> fetching = fetch();
        co_await std::move(fetching);
        Task<void> started = control_->start(info_.device_id, ::getpid());
        co_await std::move(started);
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure)
        co_return;
    Task<void> cleaning = stop();
    co_await std::move(cleaning);
    std::rethrow_exception(failure);
}

Task<void> UblkExport::take_over(BlockDevice& disk, const ServedDevice& old, bool stable_writes) {
    info_ = old.info;
    Task<void> begun = control_->start_recovery(info_.device_id);
    co_await std::move(begun);
    queue_ = std::make_unique<ServingQueue>(*loop_, disk, info_, stable_writes);
    Task<void> fetching = fetch();
    co_await std::move(fetching);
    Task<void> ended = control_->end_recovery(info_.device_id, ::getpid());
    co_await std::move(ended);
    taken_over_ = true;
}

Task<void> UblkExport::fetch() {
    queue_->fetch_all();
    // Refusals come in the turn that submits; without this look start would wait for tags that never come.
    co_await loop_->sleep_for(1ms);
    require_intact();
    queue_->stop_loop_on_error();
}

void UblkExport::require_intact() const {
    if (queue_ && queue_->error() != 0)
        throw_errno(queue_->error(), "serve", path());
}

Task<void> UblkExport::stop() {
    Task<void> stopped = control_->stop(info_.device_id);
    co_await std::move(stopped);
    if (queue_) {
        const std::string what = "the end of all requests of " + path();
        Task<void> retired = wait_until(*loop_, [this] { return queue_->retired(); }, 10s, 1ms, what);
        co_await std::move(retired);
        queue_.reset();
    }
    Task<void> removed = control_->remove(info_.device_id);
    co_await std::move(removed);
}

}  // namespace outboard::ublk
