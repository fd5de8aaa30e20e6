// The disk at a port as a block device, and its queue.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/drivers/ahci/port.hpp"

#include <cstddef>
#include <memory>
#include <span>

namespace outboard::ahci {

/// Of a port that is ready. Port, arena and loop outlive it.
class Disk final : public BlockDevice {
  public:
    Disk(Port& port, DmaArena& arena, RunLoop& loop);

    const BlockInfo& info() const noexcept override { return info_; }
    /// Only on the loop on which the driver was started.
    std::unique_ptr<BlockQueue> open_queue(RunLoop& loop) override;
    DmaArena& arena() noexcept override { return arena_; }

  private:
    friend class DiskQueue;

    Port& port_;
    DmaArena& arena_;
    RunLoop& loop_;
    BlockInfo info_;
    bool open_ = false;
};

class DiskQueue final : public BlockQueue {
  public:
    explicit DiskQueue(Disk& disk) noexcept : disk_(disk) { disk.open_ = true; }
    ~DiskQueue() override { disk_.open_ = false; }
    DiskQueue(const DiskQueue&) = delete;
    DiskQueue& operator=(const DiskQueue&) = delete;
    DiskQueue(DiskQueue&&) = delete;
    DiskQueue& operator=(DiskQueue&&) = delete;

    std::size_t submit(std::span<BlockRequest* const> requests) noexcept override {
        return disk_.port_.submit(requests);
    }
    std::size_t reap(std::span<BlockRequest*> finished) noexcept override {
        return disk_.port_.reap(finished);
    }
    TimePoint next_reap(TimePoint now) const noexcept override { return disk_.port_.next_reap(now); }

  private:
    Disk& disk_;
};

}  // namespace outboard::ahci
