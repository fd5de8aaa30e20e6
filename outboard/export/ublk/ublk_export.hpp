// /dev/ublkbN for any BlockDevice.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/export/ublk/control.hpp"
#include "outboard/export/ublk/queue_service.hpp"
#include "outboard/export/ublk/served_device.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace outboard::ublk {

struct ExportOptions {
    ServedDisk disk;  ///< what the device is marked with
    /// Requests at once on each queue, 1 … max_queue_depth.
    std::uint16_t queue_depth = 32;
    /// At most what the disk has; the kernel makes at most one for each processor.
    std::uint16_t queues = 1;
    /// Requests and results many at a time (feature::batch_io) where the kernel has that.
    bool batch = false;
    /// Called first on each thread that serves a queue, where there are several; may be empty.
    std::function<void()> prepare_thread;
};

/// Bytes of arena that an export takes.
std::size_t export_arena_bytes(std::uint16_t queues, std::uint16_t queue_depth) noexcept;

/// One disk as a block device of the kernel. Made, used and destroyed on the thread of its loop, that of the
/// driver, before the disk.
///
/// Each of several queues has a thread and a ring of its own, on which the kernel's requests come and the
/// driver's queue works; they share nothing. A single one is served by the loop itself, for a disk with one
/// queue may know no other thread.
///
/// The device outlives its server: when this process dies the requests in flight and those that come later
/// wait for the next one, which finds the device by its mark and takes it over. Only stop() ends it.
class UblkExport {
  public:
    /// Makes the disk appear; on return it is served. With `left_behind`, goes on with that device instead
    /// when it still fits the disk; one that does not fit is removed, and what waited for it fails. Throws
    /// Error.
    static Task<std::unique_ptr<UblkExport>> start(RunLoop& loop, Control& control, BlockDevice& disk,
                                                   ExportOptions options,
                                                   std::optional<ServedDevice> left_behind = std::nullopt);
    UblkExport(const UblkExport&) = delete;
    UblkExport& operator=(const UblkExport&) = delete;
    UblkExport(UblkExport&&) = delete;
    UblkExport& operator=(UblkExport&&) = delete;
    ~UblkExport();

    std::string path() const { return disk_path(info_.device_id); }
    /// As the kernel names it: "ublkb0".
    std::string disk_name() const;
    /// One that was taken over keeps what it had of these.
    std::uint16_t queue_depth() const noexcept { return info_.queue_depth; }
    std::uint16_t queues() const noexcept { return info_.queues; }
    bool batched() const noexcept { return (info_.flags & feature::batch_io) != 0; }
    /// A device that an earlier process had left behind goes on.
    bool taken_over() const noexcept { return taken_over_; }
    /// Why a device that was left behind was removed instead; empty when none was.
    const std::string& removed_because() const noexcept { return removed_because_; }
    /// Throws what went wrong on a queue: the kernel refused what was handed in, or the thread failed. Where
    /// that happens the loop is stopped, so that its user looks; stop() is all that is left then.
    void require_intact();

    /// Ends it: requests in flight are finished, later ones fail, the disk and its number go. When somebody
    /// has the disk open still, the kernel removes the rest with the last user.
    Task<void> stop();
    /// stop() will follow: that queues end is no reason any more to stop the loop.
    void expect_end() noexcept;

  private:
    UblkExport(RunLoop& loop, Control& control) noexcept : loop_(&loop), control_(&control) {}
    Task<void> create(BlockDevice& disk, const ExportOptions& options);
    Task<void> take_over(BlockDevice& disk, const ExportOptions& options, const ServedDevice& old,
                         bool stable_writes);
    Task<void> start_queues(BlockDevice& disk, const ExportOptions& options, bool stable_writes);
    Task<void> settle();
    std::exception_ptr first_cause(std::exception_ptr seen);

    RunLoop* loop_;
    Control* control_;
    DeviceInfo info_{};
    Fd file_;
    std::vector<std::unique_ptr<QueueService>> queues_;
    bool taken_over_ = false;
    std::string removed_because_;
};

}  // namespace outboard::ublk
