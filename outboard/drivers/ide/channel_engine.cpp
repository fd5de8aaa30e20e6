#include "outboard/drivers/ide/channel_engine.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace outboard::ide {

namespace {

/// Kinds of commands whose service times are learnt apart, for each device.
constexpr unsigned service_kinds = 5;
constexpr unsigned pio_kind = 4;

PredictorOptions predictor_options() {
    PredictorOptions options;
    options.classes = 2 * service_kinds * size_classes;
    return options;
}

}  // namespace

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
      predictor_(predictor_options()) {}

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

// ---- issuing ----

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

// ---- what follows when something went wrong ----

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

void ChannelEngine::tell(std::string_view text) const noexcept {
    if (!options_.report)
        return;
    try {
        options_.report(text);
    } catch (const std::exception&) {
        // A listener that fails must not take the disk with it; the request's status says what matters.
        return;
    }
}

template <class Make>
void ChannelEngine::tell_made(Make&& make) const noexcept {
    if (!options_.report)
        return;
    try {
        options_.report(make());
    } catch (const std::exception&) {
        // As above: the text could not be made or delivered.
        return;
    }
}

}  // namespace outboard::ide
