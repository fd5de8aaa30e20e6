// /dev/ublkbN for any BlockDevice.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/export/ublk/control.hpp"
#include "outboard/export/ublk/disk_control.hpp"
#include "outboard/export/ublk/disk_server.hpp"
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

namespace outboard::ublk {

struct ExportOptions {
    DeviceWish device;
    /// Called first on each thread that serves a queue, where there are several; may be empty.
    std::function<void()> prepare_thread;
};

/// Bytes of arena that an export takes.
std::size_t export_arena_bytes(std::uint16_t queues, std::uint16_t queue_depth) noexcept;

/// One disk as a block device of the kernel, controlled and served by this process. Made, used and destroyed
/// on the thread of its loop, that of the driver, before the disk.
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
    ~UblkExport() = default;

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
    /// See DiskServer; when it throws, stop() is all that is left.
    void require_intact() { server_->require_intact(); }

    /// Ends it: requests in flight are finished, later ones fail, the disk and its number go. When somebody
    /// has the disk open still, the kernel removes the rest with the last user.
    Task<void> stop();
    /// stop() will follow: that queues end is no reason any more to stop the loop.
    void expect_end() noexcept { server_->expect_end(); }

  private:
    UblkExport(RunLoop& loop, Control& control) noexcept : loop_(&loop), control_(&control) {}
    Task<void> create(BlockDevice& disk, ExportOptions options);
    Task<void> take_over(BlockDevice& disk, ExportOptions options, ServedDevice old, bool stable_writes);
    Task<void> start_server(BlockDevice& disk, const ExportOptions& options, bool stable_writes);
    std::exception_ptr first_cause(std::exception_ptr seen);

    RunLoop* loop_;
    Control* control_;
    DeviceInfo info_{};
    std::unique_ptr<DiskServer> server_;
    bool taken_over_ = false;
    std::string removed_because_;
};

}  // namespace outboard::ublk
