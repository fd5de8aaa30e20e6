#include "outboard/drivers/ahci/port.hpp"

#include "outboard/ata/error.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <utility>

namespace outboard::ahci {

namespace {

using namespace std::chrono_literals;

/// Deadlines are looked at so often.
Duration check_interval(Duration command_limit) {
    return std::clamp<Duration>(command_limit / 4, 1ms, 1s);
}

constexpr std::uint32_t bit(unsigned index) {
    return std::uint32_t{1} << index;
}

unsigned take_lowest(std::uint32_t& slots) {
    const auto index = static_cast<unsigned>(std::countr_zero(slots));
    slots &= slots - 1;
    return index;
}

}  // namespace

Port::Port(DmaArena& arena, RunLoop& loop, const PortRegisters& registers, PortOptions options,
           std::string name)
    : loop_(loop),
      registers_(registers),
      options_(std::move(options)),
      name_(std::move(name)),
      buffer_(arena.allocate(sizeof(PortMemory), 4096)),
      memory_(buffer_.as<PortMemory>()),
      check_interval_(check_interval(options_.limits.command)) {}

bool Port::open() noexcept {
    if (state_ == State::ready || state_ == State::stopped) {
        gone_ = false;
        return true;
    }
    if (state_ == State::empty && !wanting_) {
        // Without interrupts nothing has told of a disk that came.
        wanting_ = true;
        options_.call();
    }
    return false;
}

// ---- starting ----

std::size_t Port::submit(std::span<BlockRequest* const> requests) noexcept {
    std::size_t taken = 0;
    for (BlockRequest* const request : requests) {
        if (outstanding_ == depth_)
            break;
        ++outstanding_;
        ++taken;
        const BlockStatus status = check(*request);
        if (status != BlockStatus::pending) [[unlikely]] {
            request->status = status;
            finished_.push_back(*request);
            continue;
        }
        request->status = BlockStatus::pending;
        const auto index = static_cast<unsigned>(std::countr_zero(~used_));
        used_ |= bit(index);
        slots_[index] = {.request = request};
        // Later it is prepared by restart(): set-up commands use the first slot meanwhile.
        if (state_ == State::ready && !prepare_slot(index))
            give_back(index, BlockStatus::not_supported);
    }
    start_ready();
    return taken;
}

/// What can be said without the device; `pending` for what has to go there.
BlockStatus Port::check(const BlockRequest& request) const noexcept {
    if (gone_ || state_ == State::lost || state_ == State::empty)
        return BlockStatus::removed;
    if (request.operation == BlockOperation::flush)
        return identity_->flush || identity_->flush_ext ? BlockStatus::pending : BlockStatus::ok;
    if (request.operation == BlockOperation::write_zeroes)
        return BlockStatus::not_supported;
    const std::uint64_t most = request.operation == BlockOperation::discard ? max_discard_ : max_transfer_;
    const std::uint64_t mask = (std::uint64_t{1} << sector_shift_) - 1;
    if (most == 0)
        return BlockStatus::not_supported;
    if (request.length == 0 || ((request.offset | request.length) & mask) != 0 ||
        request.offset > capacity_ || request.length > capacity_ - request.offset)
        return BlockStatus::out_of_range;
    return request.length <= most ? BlockStatus::pending : BlockStatus::not_supported;
}

bool Port::goes_queued(unsigned index) const noexcept {
    const BlockOperation operation = slots_[index].request->operation;
    return queued_ && (isolated_ & bit(index)) == 0 && slots_[index].step == Step::whole &&
           (operation == BlockOperation::read || operation == BlockOperation::write);
}

ata::TaskFile Port::task_of(unsigned index, bool queued) const noexcept {
    const Slot& slot = slots_[index];
    const BlockRequest& request = *slot.request;
    if (slot.step == Step::flush_behind || request.operation == BlockOperation::flush)
        return ata::flush(identity_->flush_ext);
    if (request.operation == BlockOperation::discard)
        return ata::trim(1);
    const bool write = request.operation == BlockOperation::write;
    const auto direction = write ? ata::Direction::to_device : ata::Direction::from_device;
    const std::uint64_t lba = request.offset >> sector_shift_;
    const auto sectors = static_cast<std::uint32_t>(request.length >> sector_shift_);
    const bool fua = write && request.force_unit_access;
    if (queued)
        return ata::queued_transfer(direction, lba, sectors, index, fua);
    return ata::transfer(direction, true, lba, sectors, fua && identity_->force_unit_access);
}

/// Puts a slot's command into memory. False when its data cannot be described to the HBA.
bool Port::prepare_slot(unsigned index) noexcept {
    const BlockRequest& request = *slots_[index].request;
    const bool queued = goes_queued(index);
    const ata::TaskFile task = task_of(index, queued);
    CommandTable& table = memory_->tables[index];
    const std::uint64_t table_iova = buffer_.iova() + offsetof(PortMemory, tables) + index * sizeof table;
    std::size_t descriptors = 0;
    if (task.opcode == ata::Opcode::data_set_management) {
        std::uint64_t lba = request.offset >> sector_shift_;
        std::uint64_t left = request.length >> sector_shift_;
        for (Le64& range : table.ranges) {
            const auto part =
                static_cast<std::uint16_t>(std::min<std::uint64_t>(left, ata::max_trim_sectors_per_entry));
            range = ata::trim_range(part == 0 ? 0 : lba, part);
            lba += part;
            left -= part;
        }
        table.descriptors[0] = {.address = table_iova + offsetof(CommandTable, ranges),
                                .reserved = 0U,
                                .size = static_cast<std::uint32_t>(sizeof table.ranges - 1)};
        descriptors = 1;
    } else if (task.protocol != ata::Protocol::non_data) {
        const auto made = make_prds(request.data, request.length, options_.address_limit, table.descriptors);
        if (!made)
            return false;
        descriptors = *made;
    }
    table.fis = make_fis(task);
    memory_->headers[index] = make_header(task, descriptors, table_iova);
    (queued ? ready_queued_ : ready_single_) |= bit(index);
    return true;
}

/// Queued commands and others never meet at the disk. Neither kind waits for ever: they take turns.
void Port::start_ready() noexcept {
    if (state_ != State::ready || (ready_queued_ | ready_single_) == 0)
        return;
    if (issued_ == 0) {
        if (ready_single_ != 0 && (ready_queued_ == 0 || more_single_))
            issue(ready_single_ & (~ready_single_ + 1), false);
        else
            issue(ready_queued_, true);
    } else if (issued_queued_ && ready_single_ == 0) {
        issue(ready_queued_, true);
    }
}

void Port::issue(std::uint32_t slots, bool queued) noexcept {
    for (std::uint32_t rest = slots; rest != 0;)
        slots_[take_lowest(rest)].deadline = {};
    (queued ? ready_queued_ : ready_single_) &= ~slots;
    if (issued_ == 0 && options_.adaptive && options_.interrupts)
        choose_completion();
    issued_ |= slots;
    issued_queued_ = queued;
    more_single_ = queued;
    // The commands are in memory before the HBA may fetch them.
    std::atomic_thread_fence(std::memory_order_release);
    if (queued)
        registers_.write(Value<PortActive>(slots));
    registers_.write(Value<PortIssue>(slots));
}

/// How the end of the next commands is learnt of. A write of a register for each change of mind.
void Port::choose_completion() noexcept {
    if (judge_.look() == looking_)
        return;
    looking_ = !looking_;
    enable_interrupts();
}

void Port::enable_interrupts() const noexcept {
    registers_.write(
        Value<PortInterruptEnable>(error_interrupts | link_interrupts | (looking_ ? 0 : end_interrupts)));
}

// ---- finishing ----

std::size_t Port::reap(std::span<BlockRequest*> finished) noexcept {
    if (state_ == State::ready && issued_ != 0) {
        if (looks()) {
            look();
            start_ready();
        }
        // Where it is polled, the clock costs more than a look.
        constexpr unsigned looks_per_clock = 64;
        if (finished_.empty() && (!looks() || ++empty_looks_ % looks_per_clock == 0)) {
            const TimePoint now = Clock::now();
            if (now >= next_check_)
                check_clock(now);
        }
    }
    std::size_t count = 0;
    while (count < finished.size() && !finished_.empty())
        finished[count++] = finished_.pop_front();
    outstanding_ -= count;
    given_back_ += count;
    return count;
}

TimePoint Port::next_reap(TimePoint now) const noexcept {
    judge_.observe(now, outstanding_, given_back_);
    if (!finished_.empty())
        return now;
    if (outstanding_ == 0 || state_ != State::ready)
        return TimePoint::max();
    if (!options_.interrupts)
        return now;
    return looking_ ? judge_.next_look(now) : std::max(now, next_check_);
}

void Port::on_interrupt() noexcept {
    const auto interrupts = registers_.read<PortInterrupts>();
    if (all_ones(interrupts))
        return;  // the next look at the clock sees the removal
    // Others are set-up commands', which look at them themselves.
    registers_.write(state_ == State::ready ? interrupts
                                            : Value<PortInterrupts>(interrupts.raw() & link_interrupts));
    if (state_ == State::ready) {
        // What ended well before an error has ended well.
        if (issued_ != 0)
            look();
        if ((interrupts.raw() & (error_interrupts | link_interrupts)) != 0)
            stop({.interrupts = interrupts.raw()});
        else
            start_ready();
    } else if ((interrupts.raw() & link_interrupts) != 0) {
        stop({.interrupts = interrupts.raw()});
    }
}

/// Takes in the commands that have ended.
void Port::look() noexcept {
    const std::uint32_t active =
        issued_queued_ ? registers_.read<PortActive>().raw() : registers_.read<PortIssue>().raw();
    if ((active & ~issued_) != 0) [[unlikely]] {
        stop({.breach = true});
        return;
    }
    std::uint32_t done = issued_ & ~active;
    if (done == 0) {
        if (options_.interrupts)
            return;
        const auto interrupts = registers_.read<PortInterrupts>();
        if ((interrupts.raw() & (error_interrupts | link_interrupts)) != 0) [[unlikely]]
            stop({.interrupts = interrupts.raw()});
        return;
    }
    if (!issued_queued_) {
        // There are HBAs that clear the bit of a command that has failed.
        const std::uint8_t status = registers_.read<TaskFileData>()[TaskFileData::status];
        if ((status & (ata::status_busy | ata::status_data_request | ata::status_error |
                       ata::status_device_fault)) != 0) [[unlikely]] {
            stop({.interrupts = registers_.read<PortInterrupts>().raw()});
            return;
        }
    }
    // What the HBA wrote is looked at only after the end was seen.
    std::atomic_thread_fence(std::memory_order_acquire);
    issued_ &= ~done;
    while (done != 0)
        ended(take_lowest(done));
}

void Port::ended(unsigned index) noexcept {
    Slot& slot = slots_[index];
    const BlockRequest& request = *slot.request;
    const bool stable = request.operation != BlockOperation::write || !request.force_unit_access || !cache_;
    // A queued command carries the wish; one that was sent singly only where the disk has such a command.
    const bool asked = issued_queued_ || identity_->force_unit_access;
    if (!stable && !asked && slot.step == Step::whole) {
        slot.step = Step::flush_behind;
        if (prepare_slot(index))
            return;
    }
    give_back(index, BlockStatus::ok);
}

void Port::give_back(unsigned index, BlockStatus status) noexcept {
    BlockRequest& request = *std::exchange(slots_[index].request, nullptr);
    const std::uint32_t others = ~bit(index);
    used_ &= others;
    issued_ &= others;
    isolated_ &= others;
    ready_queued_ &= others;
    ready_single_ &= others;
    request.status = status;
    finished_.push_back(request);
}

/// Deadlines begin with the first check after a command was sent, so that sending needs no clock. An
/// interrupt that was lost is found out here.
void Port::check_clock(TimePoint now) noexcept {
    next_check_ = now + check_interval_;
    const auto interrupts = registers_.read<PortInterrupts>();
    if (all_ones(interrupts)) {
        stop({.interrupts = interrupts.raw()});
        return;
    }
    if (options_.interrupts && interrupts.raw() != 0) {
        // Its message was lost; there is none for bits that are set already.
        registers_.write(interrupts);
        options_.acknowledge();
    }
    look();
    if (state_ != State::ready)
        return;
    if ((interrupts.raw() & (error_interrupts | link_interrupts)) != 0) {
        stop({.interrupts = interrupts.raw()});
        return;
    }
    Trouble trouble;
    for (std::uint32_t rest = issued_; rest != 0;) {
        const unsigned index = take_lowest(rest);
        Slot& slot = slots_[index];
        if (slot.deadline == TimePoint{})
            slot.deadline = later(now, options_.limits.command);
        else if (now >= slot.deadline)
            trouble.timed_out |= bit(index);
    }
    if (trouble.timed_out != 0)
        stop(trouble);
    else
        start_ready();
}

}  // namespace outboard::ahci
