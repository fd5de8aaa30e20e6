// One ATA disk as a block device, and its queue.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/drivers/ide/ata.hpp"
#include "outboard/drivers/ide/bring_up.hpp"
#include "outboard/drivers/ide/request_queue.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace outboard::ide {

class ChannelEngine;

/// Most bytes of one command: merged requests stay below it too, so that none waits long behind them.
constexpr std::uint32_t max_command_bytes = 1U << 20;

/// Belongs to the engine of its channel, which takes requests out of `waiting` and puts them into `finished`.
class Disk final : public BlockDevice {
  public:
    static constexpr std::uint16_t queue_depth = 64;
    static constexpr std::uint32_t max_segments = 256;

    /// `dma`: its reads and writes go by DMA. Engine, arena and loop outlive it.
    Disk(ChannelEngine& engine, DmaArena& arena, RunLoop& loop, unsigned unit, DiskIdentity identity,
         DeviceSettings settings, bool dma);

    const BlockInfo& info() const noexcept override { return info_; }
    /// Only on the loop on which the driver was started.
    std::unique_ptr<BlockQueue> open_queue(RunLoop& loop) override;
    DmaArena& arena() noexcept override { return arena_; }

    const std::string& name() const noexcept { return name_; }
    unsigned unit() const noexcept { return unit_; }
    const DiskIdentity& identity() const noexcept { return identity_; }
    /// What has to be set again after a reset.
    const DeviceSettings& settings() const noexcept { return settings_; }
    bool dma() const noexcept { return dma_; }
    std::uint64_t sector_of(std::uint64_t offset) const noexcept { return offset / identity_.sector_size; }

    /// Takes no more requests: the device is gone or did not come back from a reset.
    void fail() noexcept { failed_ = true; }
    bool failed() const noexcept { return failed_; }

    /// Finishes all requests of a chain with one status.
    void finish(RequestChain requests, BlockStatus status) noexcept;

    RequestQueue waiting;
    RequestChain finished;

  private:
    friend class DiskQueue;
    /// ok for what may be sent to the device; the status of what may not.
    BlockStatus check(const BlockRequest& request) const noexcept;
    bool segments_fit(const BlockRequest& request) const noexcept;

    ChannelEngine& engine_;
    DmaArena& arena_;
    RunLoop& loop_;
    unsigned unit_;
    DiskIdentity identity_;
    DeviceSettings settings_;
    bool dma_;
    bool failed_ = false;
    bool open_ = false;
    std::string name_;
    BlockInfo info_;
};

/// The queue of a disk: hands requests to the channel's engine, which it also makes look at the device.
class DiskQueue final : public BlockQueue {
  public:
    DiskQueue(Disk& disk, ChannelEngine& engine) noexcept : disk_(disk), engine_(engine) {}
    ~DiskQueue() override { disk_.open_ = false; }
    DiskQueue(const DiskQueue&) = delete;
    DiskQueue& operator=(const DiskQueue&) = delete;
    DiskQueue(DiskQueue&&) = delete;
    DiskQueue& operator=(DiskQueue&&) = delete;

    std::size_t submit(std::span<BlockRequest* const> requests) noexcept override;
    std::size_t reap(std::span<BlockRequest*> finished) noexcept override;
    TimePoint next_reap(TimePoint now) const noexcept override;

  private:
    Disk& disk_;
    ChannelEngine& engine_;
    std::size_t outstanding_ = 0;
};

}  // namespace outboard::ide
