#include "outboard/drivers/ide/channel_engine.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace outboard::ide {

ChannelEngine::ChannelEngine(RunLoop& loop, DmaArena& arena, const ChannelWindows& windows,
                             EngineOptions options, std::string name)
    : loop_(loop),
      arena_(arena),
      channel_(windows),
      options_(std::move(options)),
      name_(std::move(name)),
      table_memory_(arena.allocate(prd_table_entries * sizeof(PrdEntry), 4096)),
      trim_memory_(arena.allocate(Channel::pio_block, 4096)),
      table_({table_memory_.as<PrdEntry>(), prd_table_entries}, options_.prd_largest),
      predictor_({.classes = 2 * service_kinds * size_classes}) {}

// ---- start and end ----

Task<void> ChannelEngine::start() {
    const bool answers = co_await reset_channel(access());
    if (!answers)
        co_return;
    const auto signatures = co_await find_devices(access());
    for (unsigned unit = 0; unit < disks_.size(); ++unit)
        co_await start_disk(unit, signatures[unit]);
}

Task<void> ChannelEngine::start_disk(unsigned unit, Signature signature) {
    if (signature == Signature::packet)
        tell(unit_name(access(), unit) + " is a packet (ATAPI) device: left alone");
    if (signature != Signature::ata)
        co_return;
    try {
        DiskIdentity identity = co_await identify_device(access(), unit);
        DeviceSettings settings;
        // The controller's timings are those of the mode the device is in; another one would need other
        // timings.
        settings.transfer_mode = options_.free_transfer_mode ? identity.best_dma : identity.selected_dma;
        if (identity.write_cache)
            settings.write_cache = options_.write_cache.value_or(identity.write_cache_enabled);
        settings.read_look_ahead = identity.read_look_ahead;
        co_await configure_device(access(), unit, settings);
        identity = co_await identify_device(access(), unit);

        const bool dma = options_.dma && channel_.has_bus_master() && identity.dma && settings.transfer_mode;
        if (options_.dma && !dma)
            tell(unit_name(access(), unit) + " has no DMA mode that can be used: it is driven by PIO");
        disks_[unit] = std::make_unique<Disk>(*this, arena_, loop_, unit, std::move(identity), settings, dma);
    } catch (const outboard::Error& error) {
        if (error.kind() == ErrorKind::timed_out)
            throw;
        tell(error.what());
    }
}

Task<void> ChannelEngine::shut_down() {
    while (state_ == State::recovering && !recovery_.done())
        co_await loop_.sleep_for(std::chrono::milliseconds(10));
    std::exception_ptr failure;
    for (const auto& disk : disks_) {
        if (!disk || disk->failed() || !disk->info().volatile_write_cache)
            continue;
        try {
            co_await run_command(access(), disk->unit(), flush(disk->identity().flush_ext));
        } catch (const outboard::Error&) {
            failure = std::current_exception();
        }
    }
    channel_.stop_dma();
    if (failure)
        std::rethrow_exception(failure);
}

// ---- looking ----

bool ChannelEngine::polled() const noexcept {
    return !interrupts_ || state_ == State::pio;
}

TimePoint ChannelEngine::next_look(TimePoint now) const noexcept {
    switch (state_) {
        case State::idle:
        case State::failed:
            return TimePoint::max();
        case State::recovering:
            return recovery_.done() ? now : TimePoint::max();
        default:
            return polled() ? std::min(predictor_.next_look(now), deadline_) : deadline_;
    }
}

void ChannelEngine::poll() noexcept {
    const TimePoint now = Clock::now();
    if (next_look(now) > now)
        return;
    if (state_ == State::recovering)
        recovered(now);
    else
        look(now);
}

void ChannelEngine::on_interrupt() noexcept {
    if (state_ == State::dma || state_ == State::non_data) {
        look(Clock::now());
        return;
    }
    if (channel_.interrupt_risen())
        channel_.acknowledge();
    acknowledge();
}

void ChannelEngine::acknowledge() noexcept {
    if (interrupts_ && options_.acknowledge)
        options_.acknowledge();
}

void ChannelEngine::look(TimePoint now) noexcept {
    switch (state_) {
        case State::dma:
            if (channel_.dma_ended())
                ended(channel_.end_dma(), now);
            else
                not_yet(now);
            break;
        case State::non_data:
            if (const auto status = channel_.peek(); all_ones(status) || !status[Status::busy])
                ended(channel_.end(), now);
            else
                not_yet(now);
            break;
        case State::pio:
            if (!look_pio(now))
                not_yet(now);
            break;
        case State::idle:
        case State::recovering:
        case State::failed:
            break;
    }
}

bool ChannelEngine::look_pio(TimePoint now) noexcept {
    const auto status = channel_.peek();
    if (!all_ones(status) && status[Status::busy])
        return false;
    const bool more = status[Status::data_request] && !status[Status::error] && pio_.left > 0;
    if (all_ones(status) || !more) {
        Ending ending = channel_.end();
        if (pio_.left > 0 && succeeded(ending))
            ending.status = Value<Status>(ending.status.raw()).with(Status::device_fault);
        ended(ending, now);
        return true;
    }
    channel_.end();  // the device's interrupt for this block
    predictor_.finished(now);
    move_pio_block();
    channel_.peek();  // the status is valid one transfer cycle, or 400 ns, after the block
    const TimePoint moved = Clock::now();
    deadline_ = moved + options_.limits.command;
    predictor_.started(request_class_of_batch(), moved);
    return true;
}

void ChannelEngine::move_pio_block() noexcept {
    std::size_t left = active_->identity().sector_size;
    while (left > 0 && pio_.left > 0) {
        const DmaSpan& segment = pio_.request->data[pio_.segment];
        const std::size_t size = std::min(left, segment.length - pio_.offset);
        const std::span<std::byte> part(segment.address + pio_.offset, size);
        if (task_.protocol == Protocol::pio_in)
            channel_.read_data(part);
        else
            channel_.write_data(part);
        left -= size;
        pio_.left -= size;
        pio_.offset += size;
        if (pio_.offset == segment.length) {
            pio_.offset = 0;
            if (++pio_.segment == pio_.request->data.size()) {
                pio_.segment = 0;
                pio_.request = pio_.request->next;
            }
        }
    }
}

void ChannelEngine::not_yet(TimePoint now) noexcept {
    predictor_.looked(now);
    if (now >= deadline_)
        timed_out(now);
}

void ChannelEngine::ended(const Ending& ending, TimePoint now) noexcept {
    acknowledge();
    if (!succeeded(ending)) {
        predictor_.abandoned();
        failed(ending, now);
        return;
    }
    predictor_.finished(now);
    if (batch_.operation() == BlockOperation::write && batch_.force_unit_access() && !flushing_ &&
        task_.opcode != Opcode::write_dma_fua_ext && active_->info().volatile_write_cache) {
        start_flush(now);
        return;
    }
    // The device first: what it has finished can wait until it works on the next command.
    Disk& disk = *active_;
    const RequestChain done = batch_.requests;
    flushing_ = false;
    start_next(now);
    disk.finish(done, BlockStatus::ok);
}

void ChannelEngine::tell(std::string_view text) const noexcept {
    tell_made([text] { return text; });
}

}  // namespace outboard::ide
