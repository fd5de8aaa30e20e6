#include "outboard/drivers/ide/disk.hpp"

#include "outboard/base/error.hpp"
#include "outboard/drivers/ide/channel_engine.hpp"
#include "outboard/drivers/ide/prd.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace outboard::ide {

namespace {

BlockInfo make_info(const DiskIdentity& identity, bool dma) {
    const std::uint32_t sector = identity.sector_size;
    const std::uint64_t most_sectors = identity.lba48 ? max_sectors_48 : max_sectors_28;
    BlockInfo info;
    info.model = identity.model;
    info.serial = identity.serial;
    info.firmware = identity.firmware;
    info.capacity = identity.sectors * sector;
    info.block_size = sector;
    info.physical_block_size = identity.physical_sector_size;
    info.max_transfer =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(max_command_bytes, most_sectors * sector));
    info.segment_alignment = 2;
    info.max_segments = Disk::max_segments;
    if (identity.trim && dma) {
        constexpr std::uint64_t sectors = std::uint64_t{trim_entries_per_block} * max_trim_sectors_per_entry;
        constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
        info.max_discard =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(sectors * sector, most - most % sector));
    }
    info.queue_depth = Disk::queue_depth;
    info.max_queues = 1;
    info.volatile_write_cache = identity.write_cache_enabled && (identity.flush || identity.flush_ext);
    info.force_unit_access = identity.force_unit_access && dma;
    info.rotational = identity.rotational;
    return info;
}

}  // namespace

Disk::Disk(ChannelEngine& engine, DmaArena& arena, RunLoop& loop, unsigned unit, DiskIdentity identity,
           DeviceSettings settings, bool dma)
    : engine_(engine),
      arena_(arena),
      loop_(loop),
      unit_(unit),
      identity_(std::move(identity)),
      settings_(settings),
      dma_(dma),
      name_(unit_name(engine.access(), unit)),
      info_(make_info(identity_, dma)) {}

std::unique_ptr<BlockQueue> Disk::open_queue(RunLoop& loop) {
    if (&loop != &loop_)
        throw outboard::Error({.kind = ErrorKind::usage,
                               .action = "open a queue of",
                               .subject = name_,
                               .cause = "the two disks of a channel share its registers, and thus one thread",
                               .remedy = "open it on the loop on which the driver was started"});
    if (open_)
        throw outboard::Error({.kind = ErrorKind::busy,
                               .action = "open a queue of",
                               .subject = name_,
                               .cause = "its only queue is open already",
                               .remedy = {}});
    auto queue = std::make_unique<DiskQueue>(*this, engine_);
    open_ = true;
    return queue;
}

void Disk::finish(RequestChain requests, BlockStatus status) noexcept {
    while (BlockRequest* request = requests.pop_front()) {
        request->status = status;
        finished.push_back(*request);
    }
}

bool Disk::segments_fit(const BlockRequest& request) const noexcept {
    std::uint64_t total = 0;
    for (const DmaSpan& segment : request.data) {
        if (segment.length == 0 || (segment.iova | segment.length) % info_.segment_alignment != 0 ||
            segment.length > request.length || segment.iova > std::numeric_limits<std::uint32_t>::max() ||
            segment.length - 1 > std::numeric_limits<std::uint32_t>::max() - segment.iova)
            return false;
        total += segment.length;
    }
    return total == request.length && request.data.size() <= info_.max_segments;
}

BlockStatus Disk::check(const BlockRequest& request) const noexcept {
    if (failed_)
        return BlockStatus::removed;
    if (request.operation == BlockOperation::flush)
        return BlockStatus::ok;
    const bool discard = request.operation == BlockOperation::discard;
    const std::uint64_t most = discard ? info_.max_discard : info_.max_transfer;
    if (request.operation == BlockOperation::write_zeroes || most == 0)
        return BlockStatus::not_supported;
    if (request.length == 0 || (request.offset | request.length) % info_.block_size != 0 ||
        request.offset > info_.capacity || request.length > info_.capacity - request.offset)
        return BlockStatus::out_of_range;
    if (request.length > most || (!discard && !segments_fit(request)))
        return BlockStatus::not_supported;
    return BlockStatus::ok;
}

std::size_t DiskQueue::submit(std::span<BlockRequest* const> requests) noexcept {
    std::size_t taken = 0;
    for (BlockRequest* request : requests) {
        if (outstanding_ == Disk::queue_depth)
            break;
        ++outstanding_;
        ++taken;
        request->status = disk_.check(*request);
        if (request->status == BlockStatus::ok) {
            request->status = BlockStatus::pending;
            disk_.waiting.push(*request);
        } else {
            disk_.finished.push_back(*request);
        }
    }
    engine_.kick();
    return taken;
}

std::size_t DiskQueue::reap(std::span<BlockRequest*> finished) noexcept {
    if (outstanding_ > 0)
        engine_.poll();
    std::size_t count = 0;
    while (count < finished.size()) {
        BlockRequest* request = disk_.finished.pop_front();
        if (!request)
            break;
        finished[count++] = request;
    }
    outstanding_ -= count;
    return count;
}

TimePoint DiskQueue::next_reap(TimePoint now) const noexcept {
    if (!disk_.finished.empty())
        return now;
    return outstanding_ == 0 ? TimePoint::max() : engine_.next_look(now);
}

}  // namespace outboard::ide
