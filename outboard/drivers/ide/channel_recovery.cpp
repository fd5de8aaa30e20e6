// What follows when a command went wrong: an answer, another try, a reset of the channel, or giving the disk
// up.
#include "outboard/base/error.hpp"
#include "outboard/drivers/ide/channel_engine.hpp"

#include <chrono>
#include <exception>
#include <utility>

#include <fmt/format.h>

namespace outboard::ide {

void ChannelEngine::give_back(BlockStatus status) noexcept {
    flushing_ = false;
    active_->finish(batch_.requests, status);
    batch_ = {};
}

void ChannelEngine::failed(const Ending& ending, TimePoint now) noexcept {
    if (all_ones(ending.status)) {
        tell_made([&] { return fmt::format("{}: {}", active_->name(), describe(task_, ending)); });
        removed();
        return;
    }
    // A sector that a flush could not write may be gone from the cache: a second flush would succeed without
    // it.
    const bool retry = worth_retrying(ending) && batch_.operation() != BlockOperation::flush;
    const bool again = batch_.parts > 1 || (retry && batch_.attempt + 1 < attempts);
    tell_made([&] {
        return fmt::format("{}: {}{}", active_->name(), describe(task_, ending),
                           again ? "; it is tried again" : "");
    });
    if (needs_reset(ending)) {
        recover(block_status(ending), retry ? attempts : 1);
        return;
    }
    flushing_ = false;
    // Each of several merged requests gets an answer of its own.
    if (batch_.parts > 1)
        active_->waiting.split(batch_);
    else if (again)
        active_->waiting.retry(batch_);
    else
        give_back(block_status(ending));
    start_next(now);
}

void ChannelEngine::removed() noexcept {
    state_ = State::failed;
    // Before its memory belongs to others: the controller may still be there when the device is not.
    channel_.stop_dma();
    give_back(BlockStatus::removed);
    for (const auto& disk : disks_) {
        if (disk)
            fail_disk(*disk);
    }
}

void ChannelEngine::fail_disk(Disk& disk) noexcept {
    disk.fail();
    disk.finish(disk.waiting.take_all(), BlockStatus::removed);
}

void ChannelEngine::timed_out(TimePoint now) noexcept {
    predictor_.abandoned();
    const auto status = channel_.peek();
    if (all_ones(status)) {
        Ending ending;
        ending.status = status;
        failed(ending, now);
        return;
    }
    if (state_ == State::dma && !status[Status::busy] && !status[Status::data_request] &&
        !channel_.dma_active()) {
        tell_made([&] {
            return fmt::format("{}: {} ended, but its interrupt was lost", active_->name(), describe(task_));
        });
        ended(channel_.end_dma(), now);
        return;
    }
    tell_made([&] {
        return fmt::format(
            "{}: {} was not finished after {} ms (status {:#04x}): the channel is reset", active_->name(),
            describe(task_),
            std::chrono::duration_cast<std::chrono::milliseconds>(options_.limits.command).count(),
            status.raw());
    });
    recover(BlockStatus::timed_out, attempts_timed_out);
}

void ChannelEngine::not_ready(TimePoint now) noexcept {
    Ending ending;
    ending.status = channel_.peek();
    if (all_ones(ending.status)) {
        failed(ending, now);
        return;
    }
    tell_made([&] {
        return fmt::format("{}: not ready to take {} (status {:#04x}): the channel is reset", active_->name(),
                           describe(task_), ending.status.raw());
    });
    recover(BlockStatus::timed_out, attempts_timed_out);
}

void ChannelEngine::recover(BlockStatus status, unsigned attempts_allowed) noexcept {
    state_ = State::recovering;
    held_status_ = status;
    held_attempts_ = attempts_allowed;
    try {
        recovery_ = recovery();
        recovery_.start();
    } catch (const std::exception& error) {
        tell(error.what());
        removed();
    }
}

Task<void> ChannelEngine::recovery() {
    Signatures signatures{};
    if (co_await reset_channel(access()))
        signatures = co_await find_devices(access());
    for (const auto& disk : disks_) {
        if (disk && !disk->failed())
            co_await recover_disk(*disk, signatures[disk->unit()]);
    }
}

Task<void> ChannelEngine::recover_disk(Disk& disk, Signature signature) {
    try {
        if (signature == Signature::ata) {
            const DiskIdentity identity = co_await identify_device(access(), disk.unit());
            if (identity.model == disk.identity().model && identity.serial == disk.identity().serial &&
                identity.sectors == disk.identity().sectors) {
                co_await configure_device(access(), disk.unit(), disk.settings());
                tell(disk.name() + " works again after a reset");
                co_return;
            }
        }
        tell(disk.name() + " is another device, or none, after a reset: it is given up");
    } catch (const outboard::Error& error) {
        tell(error.what());
        tell(disk.name() + " does not work after a reset: it is given up");
    }
    disk.fail();
}

void ChannelEngine::recovered(TimePoint now) noexcept {
    try {
        recovery_.take_result();
    } catch (const std::exception& error) {
        // The channel stayed busy: neither of its devices can be reached.
        tell(error.what());
        for (const auto& disk : disks_) {
            if (disk)
                disk->fail();
        }
    }
    recovery_ = {};
    flushing_ = false;
    if (active_->failed() || (batch_.parts == 1 && batch_.attempt + 1 >= held_attempts_))
        give_back(held_status_);
    else if (batch_.parts > 1)
        active_->waiting.split(batch_);
    else
        active_->waiting.retry(batch_);
    bool usable = false;
    for (const auto& disk : disks_) {
        if (disk && disk->failed())
            fail_disk(*disk);
        usable = usable || (disk && !disk->failed());
    }
    state_ = State::failed;
    if (usable)
        start_next(now);
}

}  // namespace outboard::ide
