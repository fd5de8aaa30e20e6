// What serves a ublk device: its file and the queues that take requests from it. Who made the device, and
// tells the kernel when it is served, may be another process.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/classes/block_device.hpp"
#include "outboard/export/ublk/queue_service.hpp"
#include "outboard/export/ublk/uapi.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace outboard::ublk {

struct DiskServerSetup {
    Fd file;                     ///< server_path, opened for reading and writing by whoever may
    DeviceInfo info{};           ///< as the kernel made it
    bool stable_writes = false;  ///< a write is on stable storage when it ends: users send no flushes
    /// Called first on each thread that serves a queue, where there are several; may be empty.
    std::function<void()> prepare_thread;
    RingStock* rings = nullptr;  ///< where these threads take their rings; none: they make them
};

/// One disk at work behind one ublk device. Made, used and destroyed on the thread of its loop, that of the
/// driver, before the disk.
///
/// Each of several queues has a thread and a ring of its own, on which the kernel's requests come and the
/// driver's queue works; they share nothing. A single one is served by the loop itself, for a disk with one
/// queue may know no other thread.
class DiskServer {
  public:
    DiskServer(RunLoop& loop, BlockDevice& disk, DiskServerSetup setup)
        : loop_(&loop), disk_(&disk), setup_(std::move(setup)) {}
    DiskServer(const DiskServer&) = delete;
    DiskServer& operator=(const DiskServer&) = delete;
    DiskServer(DiskServer&&) = delete;
    DiskServer& operator=(DiskServer&&) = delete;
    /// One that has not ended leaves its memory to the kernel until the process ends.
    ~DiskServer();

    /// Opens the queues and asks for the first request of every tag; requests come once the device is started
    /// or its recovery ended. Once. Throws Error.
    Task<void> start();
    /// Waits until no queue is just being started. Throws Error.
    Task<void> settle();
    /// Throws what went wrong on a queue: the kernel refused what was handed in, or the thread failed. Where
    /// that happens the loop is stopped, so that its user looks.
    void require_intact();
    /// Waits until the loops of all queues have turned: one that hangs is found by that. One task at a time.
    Task<void> turn();
    /// From now on queues may end.
    void expect_end() noexcept;
    /// Waits until all have ended, after the device was stopped, and closes its file.
    Task<void> end();

  private:
    RunLoop* loop_;
    BlockDevice* disk_;
    DiskServerSetup setup_;
    std::vector<std::unique_ptr<QueueService>> queues_;
};

}  // namespace outboard::ublk
