// The first half of a channel's data path: from waiting requests to a command of the device.
#include "outboard/drivers/ide/channel_engine.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

namespace outboard::ide {

void ChannelEngine::kick() noexcept {
    if (state_ == State::idle)
        start_next(Clock::now());
}

bool ChannelEngine::take_batch() noexcept {
    for (unsigned i = 0; i < disks_.size(); ++i) {
        Disk* disk = disks_[(turn_ + i) % 2].get();
        if (!disk || disk->waiting.empty())
            continue;
        active_ = disk;
        turn_ = 1 - disk->unit();
        batch_ = disk->waiting.take({.bytes = disk->info().max_transfer,
                                     .prd_entries = disk->dma() ? prd_table_entries : 0,
                                     .prd_largest = options_.prd_largest});
        return true;
    }
    return false;
}

void ChannelEngine::start_next(TimePoint now) noexcept {
    state_ = State::idle;
    // A request that needs no command ends at once, so there may be more than one round.
    while (state_ == State::idle && take_batch())
        start_batch(now);
}

void ChannelEngine::start_batch(TimePoint now) noexcept {
    const Disk& disk = *active_;
    const std::uint64_t lba = disk.sector_of(batch_.offset);
    const auto sectors = static_cast<std::uint32_t>(batch_.length / disk.identity().sector_size);
    switch (batch_.operation()) {
        case BlockOperation::flush:
            start_flush(now);
            return;
        case BlockOperation::discard:
            if (!fill_trim())
                break;
            issue(trim(1), now);
            return;
        case BlockOperation::read:
        case BlockOperation::write: {
            const bool write = batch_.operation() == BlockOperation::write;
            if (disk.dma() && !fill_table())
                break;
            issue(transfer(write ? Direction::to_device : Direction::from_device, disk.dma(), lba, sectors,
                           write && batch_.force_unit_access() && disk.info().force_unit_access),
                  now);
            return;
        }
        case BlockOperation::write_zeroes:
            break;
    }
    give_back(BlockStatus::not_supported);
}

void ChannelEngine::start_flush(TimePoint now) noexcept {
    if (!active_->info().volatile_write_cache) {
        give_back(BlockStatus::ok);
        return;
    }
    flushing_ = true;
    issue(flush(active_->identity().flush_ext), now);
}

bool ChannelEngine::fill_table() noexcept {
    table_.clear();
    for (const BlockRequest* request = batch_.requests.first; request; request = request->next) {
        if (!table_.append(request->data))
            return false;
    }
    return table_.finish();
}

bool ChannelEngine::fill_trim() noexcept {
    const std::span<Le64> ranges(trim_memory_.as<Le64>(), trim_entries_per_block);
    std::uint64_t lba = active_->sector_of(batch_.offset);
    std::uint64_t left = batch_.length / active_->identity().sector_size;
    for (Le64& range : ranges) {
        const auto sectors =
            static_cast<std::uint16_t>(std::min<std::uint64_t>(left, max_trim_sectors_per_entry));
        range = sectors == 0 ? 0 : trim_range(lba, sectors);
        lba += sectors;
        left -= sectors;
    }
    table_.clear();
    const DmaSpan block = trim_memory_.span();
    return left == 0 && table_.append({&block, 1}) && table_.finish();
}

RequestClass ChannelEngine::request_class_of_batch() const noexcept {
    auto kind = static_cast<unsigned>(batch_.operation());
    std::uint64_t bytes = batch_.length;
    if (flushing_) {
        kind = static_cast<unsigned>(BlockOperation::flush);
        bytes = 0;
    } else if (task_.protocol == Protocol::pio_in || task_.protocol == Protocol::pio_out) {
        kind = pio_kind;  // one block after the other
        bytes = active_->identity().sector_size;
    }
    return request_class(active_->unit() * service_kinds + kind, bytes);
}

void ChannelEngine::issue(const TaskFile& task, TimePoint now) noexcept {
    task_ = task;
    if (!channel_.select(active_->unit())) {
        not_ready(now);
        return;
    }
    deadline_ = now + options_.limits.command;
    switch (task.protocol) {
        case Protocol::dma_in:
        case Protocol::dma_out:
            state_ = State::dma;
            channel_.issue_dma(task, static_cast<std::uint32_t>(table_memory_.iova()));
            break;
        case Protocol::non_data:
            state_ = State::non_data;
            channel_.issue(task);
            channel_.peek();  // 400 ns until BSY is valid
            break;
        case Protocol::pio_in:
        case Protocol::pio_out:
            state_ = State::pio;
            pio_ = {.request = batch_.requests.first, .left = batch_.length};
            channel_.issue(task);
            channel_.peek();
            break;
    }
    predictor_.started(request_class_of_batch(), now);
}

}  // namespace outboard::ide
