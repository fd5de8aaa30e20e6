// A port's slow side: what is behind it, and what follows when something goes wrong there.
#include "outboard/ata/error.hpp"
#include "outboard/base/error.hpp"
#include "outboard/drivers/ahci/port.hpp"

#include <array>
#include <bit>
#include <chrono>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace outboard::ahci {

namespace {

constexpr std::uint32_t bit(unsigned index) {
    return std::uint32_t{1} << index;
}

long milliseconds(Duration duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

[[noreturn]] void throw_io(const std::string& name, std::string cause) {
    throw outboard::Error(
        {.kind = ErrorKind::io, .action = "use", .subject = name, .cause = std::move(cause), .remedy = {}});
}

}  // namespace

template <class Make>
void Port::tell(Make&& make) const noexcept {
    if (!options_.report)
        return;
    try {
        options_.report(std::forward<Make>(make)());
    } catch (const std::exception&) {
        // The text could not be made, or its listener fails: neither must take the disk along.
        return;
    }
}

// ---- bringing up ----

void Port::prepare() noexcept {
    state_ = state_ == State::lost ? State::lost : State::stopped;
    prepare_port(access());
}

Task<void> Port::bring_up() {
    if (state_ == State::lost)
        co_return;
    registers_.write(Value<PortInterruptEnable>(0));
    wanting_ = false;
    raised_ = false;
    // Not empty: requests that come meanwhile wait for restart().
    state_ = State::stopped;
    clear_errors(access());
    std::exception_ptr failure;
    try {
        Task<void> raising = raise();
        co_await std::move(raising);
    } catch (...) {
        failure = std::current_exception();
    }
    if (!raised_) {
        // One that had a disk, and does not answer, is the controller's to reset.
        state_ = failure && identity_ ? State::stopped : State::empty;
        registers_.write(Value<PortInterruptEnable>(link_interrupts));
    }
    if (failure)
        std::rethrow_exception(failure);
}

Task<void> Port::raise() {
    if (!link_is_up(registers_))
        co_return;
    Task<void> waiting = wait_until_ready(access());
    co_await std::move(waiting);
    const std::uint32_t signature = registers_.read<Signature>().raw();
    if (signature != ata_signature) {
        const std::string_view what = signature == packet_signature       ? "a packet (ATAPI) device"
                                      : signature == multiplier_signature ? "a port multiplier"
                                                                          : "no ATA disk";
        tell(
            [&] { return fmt::format("{}: {} is left alone (signature {:#010x})", name_, what, signature); });
        co_return;
    }
    start_commands(access());
    Task<ata::DiskIdentity> identifying = identify_disk(access());
    ata::DiskIdentity found = co_await std::move(identifying);
    if (identity_ && !is_same(found)) {
        tell([&] {
            return fmt::format("{}: another disk, {}, is there now; start the driver anew to use it", name_,
                               found.serial);
        });
        Task<bool> stopping = stop_commands(access());
        co_await std::move(stopping);
        co_return;
    }
    const bool first = !identity_;
    identity_ = std::move(found);
    Task<void> configuring = configure();
    co_await std::move(configuring);
    if (first) {
        const std::uint32_t sector = identity_->sector_size;
        sector_shift_ = static_cast<unsigned>(std::countr_zero(sector));
        capacity_ = identity_->sectors * sector;
        queued_ = options_.queuing && identity_->queue_depth > 0;
        depth_ = static_cast<std::uint16_t>(queued_ ? std::min(options_.slots, identity_->queue_depth)
                                                    : options_.slots);
        const std::uint64_t most = identity_->lba48 ? ata::max_sectors_48 : ata::max_sectors_28;
        max_transfer_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(max_command_bytes, most * sector));
        if (identity_->trim) {
            constexpr std::uint64_t sectors =
                std::uint64_t{ata::trim_entries_per_block} * ata::max_trim_sectors_per_entry;
            constexpr std::uint32_t limit = std::numeric_limits<std::uint32_t>::max();
            max_discard_ =
                static_cast<std::uint32_t>(std::min<std::uint64_t>(sectors * sector, limit - limit % sector));
        }
        // What a power cycle may change stays as users were told.
        if (!options_.write_cache && identity_->write_cache)
            options_.write_cache = identity_->write_cache_enabled;
    }
    clear_errors(access());
    raised_ = true;
}

/// What a reset undoes.
Task<void> Port::configure() {
    cache_ = identity_->write_cache_enabled;
    if (options_.write_cache && identity_->write_cache) {
        const auto feature =
            *options_.write_cache ? ata::Feature::write_cache_on : ata::Feature::write_cache_off;
        Task<void> switching = run_command(access(), ata::set_feature(feature));
        co_await std::move(switching);
        cache_ = *options_.write_cache;
        identity_->write_cache_enabled = cache_;
    }
    cache_ = cache_ && (identity_->flush || identity_->flush_ext);
}

BlockInfo Port::info() const {
    BlockInfo info;
    info.model = identity_->model;
    info.serial = identity_->serial;
    info.firmware = identity_->firmware;
    info.capacity = capacity_;
    info.block_size = identity_->sector_size;
    info.physical_block_size = identity_->physical_sector_size;
    info.max_transfer = max_transfer_;
    info.segment_alignment = 2;
    info.max_segments = most_descriptors;
    info.max_discard = max_discard_;
    info.queue_depth = depth_;
    info.max_queues = 1;
    info.volatile_write_cache = cache_;
    info.force_unit_access = queued_ || identity_->force_unit_access;
    info.rotational = identity_->rotational;
    return info;
}

bool Port::is_same(const ata::DiskIdentity& found) const noexcept {
    return found.model == identity_->model && found.serial == identity_->serial &&
           found.sectors == identity_->sectors && found.sector_size == identity_->sector_size;
}

Task<void> Port::shut_down() {
    registers_.write(Value<PortInterruptEnable>(0));
    if (state_ == State::ready) {
        state_ = State::stopped;
        if (cache_) {
            Task<void> flushing = run_command(access(), ata::flush(identity_->flush_ext));
            co_await std::move(flushing);
        }
    } else if (state_ == State::stopped && cache_) {
        tell([&] { return fmt::format("{}: its write cache was not flushed", name_); });
    }
    Task<bool> stopping = stop_port(access());
    const bool stopped = co_await std::move(stopping);
    if (!stopped)
        throw_io(name_, "its command engine does not stop");
}

// ---- what goes wrong ----

/// From here on the port is attend()'s.
void Port::stop(const Trouble& trouble) noexcept {
    registers_.write(Value<PortInterruptEnable>(0));
    if (state_ == State::ready)
        state_ = State::stopped;
    trouble_ = trouble;
    wanting_ = true;
    options_.call();
}

Task<void> Port::attend() {
    if (!std::exchange(wanting_, false))
        co_return;
    if (state_ == State::empty) {
        Task<void> coming = disk_came();
        co_await std::move(coming);
    } else if (state_ == State::stopped) {
        Task<void> recovering = recover();
        co_await std::move(recovering);
    }
}

Task<void> Port::recover() {
    const auto task_file = registers_.read<TaskFileData>();
    if (all_ones(task_file) && all_ones(registers_.read<PortInterrupts>()))
        throw_io(name_, "its registers read as all ones: it was removed, or has no power");
    Trouble trouble = std::exchange(trouble_, {});
    // A link that was disturbed and is up again has made the disk forget its commands as well.
    if (!link_is_up(registers_))
        trouble.interrupts |= link_interrupts;
    tell_why(trouble);
    Task<bool> stopping = stop_commands(access());
    const bool stopped = co_await std::move(stopping);
    const std::uint8_t status = task_file[TaskFileData::status];
    const std::uint32_t events = trouble.interrupts & (error_interrupts | link_interrupts);
    const bool disk_failed =
        trouble.timed_out == 0 && !trouble.breach &&
        (events == PortInterrupts::task_file_error.mask<std::uint32_t>() ||
         (events == 0 && (status & (ata::status_error | ata::status_device_fault)) != 0));
    if (stopped && disk_failed && !busy(registers_.read<TaskFileData>())) {
        Task<bool> settling = settle_failure(status, task_file[TaskFileData::error]);
        const bool settled = co_await std::move(settling);
        if (settled) {
            state_ = State::ready;
            restart();
            co_return;
        }
        issued_ = 0;
    } else {
        count_tries(trouble.timed_out);
        // Before, the HBA may still write to memory of theirs.
        if (!stopped)
            throw_io(name_, "its command engine does not stop");
    }
    Task<void> resetting = reset_disk();
    co_await std::move(resetting);
}

void Port::tell_why(const Trouble& trouble) const noexcept {
    struct Meaning {
        std::uint32_t bit;
        std::string_view words;
    };
    static constexpr std::array meanings{
        Meaning{.bit = PortInterrupts::host_fatal.mask<std::uint32_t>(),
                .words = "the HBA could not reach its memory (HBFS)"},
        Meaning{.bit = PortInterrupts::host_data.mask<std::uint32_t>(),
                .words = "the HBA could not move data to or from memory (HBDS)"},
        Meaning{.bit = PortInterrupts::interface_fatal.mask<std::uint32_t>(),
                .words = "a transfer on the link failed (IFS)"},
        Meaning{.bit = PortInterrupts::overflow.mask<std::uint32_t>(),
                .words = "the disk sent more than was asked for (OFS)"}};
    for (std::uint32_t rest = trouble.timed_out; rest != 0; rest &= rest - 1)
        tell([&] {
            return fmt::format(
                "{}: {} was not finished after {} ms", name_,
                ata::describe(task_of(static_cast<unsigned>(std::countr_zero(rest)), issued_queued_)),
                milliseconds(options_.limits.command));
        });
    for (const Meaning& meaning : meanings)
        if ((trouble.interrupts & meaning.bit) != 0)
            tell([&] { return fmt::format("{}: {}", name_, meaning.words); });
    if (trouble.breach)
        tell([&] { return fmt::format("{}: commands are under way that were not given", name_); });
}

/// The disk has failed a command. False when it is not known which: the disk has to be reset, and alone each
/// shows for itself whether it fails.
Task<bool> Port::settle_failure(std::uint8_t status, std::uint8_t error) {
    if (issued_ == 0)
        co_return false;
    if (!issued_queued_) {
        clear_errors(access());
        failed(static_cast<unsigned>(std::countr_zero(issued_)), status, error);
        start_commands(access());
        co_return true;
    }
    bool named = false;
    try {
        Task<bool> naming = name_culprit();
        named = co_await std::move(naming);
    } catch (const outboard::Error& failure) {
        tell([&] { return std::string(failure.what()); });
    }
    if (!named) {
        isolated_ |= issued_;
        tell([&] {
            return fmt::format(
                "{}: a queued command failed, and the disk does not say which: they are sent one by one",
                name_);
        });
    }
    co_return named;
}

Task<void> Port::reset_disk() {
    tell([&] { return fmt::format("{}: the disk is reset", name_); });
    registers_.write(Value<LinkError>(0xffffffff));
    Task<bool> resetting = reset_link(access());
    const bool up = co_await std::move(resetting);
    if (!up && all_ones(registers_.read<LinkStatus>()))
        throw_io(name_, "its registers read as all ones: it was removed, or has no power");
    if (!up) {
        disk_left();
        co_return;
    }
    Task<void> coming = bring_up();
    co_await std::move(coming);
    if (raised_)
        tell([&] { return fmt::format("{} works again after a reset", name_); });
    restart();
}

/// Asks the disk which of the queued commands has failed, and deals with that one. False when it does not
/// say.
Task<bool> Port::name_culprit() {
    clear_errors(access());
    if (!identity_->logs)
        co_return false;
    start_commands(access());
    Task<std::optional<QueuedError>> asking = read_queued_error(access());
    const std::optional<QueuedError> found = co_await std::move(asking);
    clear_errors(access());
    if (!found || (issued_ & bit(found->tag)) == 0)
        co_return false;
    failed(found->tag, found->status, found->error);
    co_return true;
}

/// A command has failed by itself.
void Port::failed(unsigned index, std::uint8_t status, std::uint8_t error) noexcept {
    Slot& slot = slots_[index];
    const BlockStatus meaning =
        (status & ata::status_error) != 0 ? ata::block_status(error) : BlockStatus::device_error;
    // What a flush could not write may be gone from the cache: a second one would succeed without it.
    const bool flush = slot.step == Step::flush_behind || slot.request->operation == BlockOperation::flush;
    const bool again = meaning == BlockStatus::device_error && !flush && slot.failed + 1U < attempts;
    tell([&] {
        return fmt::format("{}: {} failed: {}; status {:#04x}, error {:#04x}{}", name_,
                           ata::describe(task_of(index, issued_queued_)), ata::describe_error(error), status,
                           error, again ? "; it is tried again" : "");
    });
    if (again)
        ++slot.failed;
    else
        give_back(index, meaning);
}

/// Prepares whatever has a request: set-up commands have used the first slot meanwhile.
void Port::restart() noexcept {
    if (std::exchange(raised_, false))
        state_ = State::ready;
    if (state_ == State::empty && identity_ && !gone_)
        disk_left();
    if (state_ != State::ready)
        return;
    enable_interrupts();
    ready_queued_ = 0;
    ready_single_ = 0;
    issued_ = 0;
    for (unsigned index = 0; index < slots_.size(); ++index) {
        if ((used_ & bit(index)) == 0)
            continue;
        Slot& slot = slots_[index];
        // The data goes with the flush once more: a reset may have cost the disk its cache.
        slot.step = Step::whole;
        const bool timed_out = std::exchange(slot.timed_out, false);
        if (timed_out && slot.late >= attempts_timed_out)
            give_back(index, BlockStatus::timed_out);
        else if (slot.interrupted >= attempts_interrupted)
            give_back(index, BlockStatus::device_error);
        else if (!prepare_slot(index))
            give_back(index, BlockStatus::not_supported);
    }
    start_ready();
}

void Port::interrupt_commands() noexcept {
    registers_.write(Value<PortInterruptEnable>(0));
    if (state_ == State::ready) {
        state_ = State::stopped;
        count_tries(0);
    } else if (state_ == State::stopped) {
        count_tries(trouble_.timed_out);
    }
    wanting_ = false;
    trouble_ = {};
}

/// The commands that were issued end without an answer, by a reset.
void Port::count_tries(std::uint32_t timed_out) noexcept {
    for (unsigned index = 0; index < slots_.size(); ++index) {
        if ((issued_ & bit(index)) == 0)
            continue;
        Slot& slot = slots_[index];
        slot.timed_out = (timed_out & bit(index)) != 0;
        ++(slot.timed_out ? slot.late : slot.interrupted);
    }
    issued_ = 0;
}

void Port::end_all(BlockStatus status) noexcept {
    for (unsigned index = 0; index < slots_.size(); ++index) {
        if ((used_ & bit(index)) != 0)
            give_back(index, status);
    }
}

void Port::lose() noexcept {
    if (state_ == State::lost)
        return;
    registers_.write(Value<PortInterruptEnable>(0));
    if (identity_)
        tell([&] { return fmt::format("the disk at {} is given up", name_); });
    state_ = State::lost;
    end_all(BlockStatus::removed);
}

// ---- hot plug (AHCI 1.3.1, 7.3) ----

void Port::disk_left() noexcept {
    tell([&] { return fmt::format("{}: the disk {} has gone", name_, identity_ ? identity_->serial : ""); });
    state_ = State::empty;
    gone_ = true;
    end_all(BlockStatus::removed);
    clear_errors(access());
    registers_.write(Value<PortInterruptEnable>(link_interrupts));
}

Task<void> Port::disk_came() {
    registers_.write(Value<PortInterruptEnable>(0));
    Task<bool> resetting = reset_link(access());
    const bool up = co_await std::move(resetting);
    if (!up) {
        registers_.write(Value<PortInterruptEnable>(link_interrupts));
        co_return;
    }
    if (!identity_) {
        tell([&] { return fmt::format("{}: a disk has come; start the driver anew to use it", name_); });
        registers_.write(Value<PortInterruptEnable>(link_interrupts));
        co_return;
    }
    try {
        Task<void> bringing = bring_up();
        co_await std::move(bringing);
    } catch (const outboard::Error& error) {
        // The others go on; whoever opens it tries again.
        tell([&] { return std::string(error.what()); });
        state_ = State::empty;
    }
    if (raised_)
        tell([&] { return fmt::format("{}: the disk {} is back", name_, identity_->serial); });
    restart();
}

}  // namespace outboard::ahci
