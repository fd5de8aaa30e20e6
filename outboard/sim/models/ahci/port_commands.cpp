// What happens to the commands of a port (AHCI 1.3.1, 5.3 to 5.6; errors: clause 6).
#include "outboard/sim/models/ahci/port.hpp"

#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <utility>

namespace outboard::sim::ahci {

namespace {

constexpr std::uint8_t idle_status = ata::status_ready | ata::status_seek_complete;

constexpr std::uint32_t bit(unsigned slot) {
    return std::uint32_t{1} << slot;
}

Request parse(std::span<const std::byte, fis_command_size> fis) {
    const auto byte = [&](std::size_t at) { return std::to_integer<std::uint64_t>(fis[at]); };
    Request request;
    request.opcode = static_cast<std::uint8_t>(byte(2));
    request.features = static_cast<std::uint16_t>(byte(3) | byte(11) << 8);
    request.lba = byte(4) | byte(5) << 8 | byte(6) << 16 | byte(8) << 24 | byte(9) << 32 | byte(10) << 40;
    request.device = static_cast<std::uint8_t>(byte(7));
    request.count = static_cast<std::uint16_t>(byte(12) | byte(13) << 8);
    return request;
}

}  // namespace

template <class Action>
void Port::later(Work& work, Duration delay, Action action) {
    if (delay == Duration::zero()) {
        action();
        return;
    }
    work.timer = host_.clock().after(delay, [&work, action] {
        work.timer.reset();
        action();
    });
}

/// Queued commands go on side by side, others one at a time.
void Port::fetch() {
    for (unsigned slot = 0; slot < settings_.slots && running() && !single_ && !hung_; ++slot) {
        if ((issue_ & bit(slot)) == 0 || work_[slot].taken)
            continue;
        if ((status_ & (ata::status_busy | ata::status_data_request)) != 0)
            return;
        work_[slot] = {.taken = true};
        if (misses_command(slot))
            continue;
        if (!take(slot))
            return;
    }
}

/// What can happen to a command before the disk sees it. True: it does not.
bool Port::misses_command(unsigned slot) {
    FaultInjector& faults = host_.injector();
    if (faults.strike(FaultKind::all_ones)) {
        host_.pull_out();
        return true;
    }
    if (faults.strike(FaultKind::never_ready)) {
        hung_ = true;
        status_ = ata::status_busy | ata::status_ready;
        return true;
    }
    if (const auto strike = faults.strike(FaultKind::queue_overwrite)) {
        std::array<std::byte, 8> rubbish{};
        std::memcpy(rubbish.data(), &strike->random, rubbish.size());
        host_.memory().write(list_ + slot * header_size + strike->random % 2 * 8, rubbish);
    }
    return faults.strike(FaultKind::doorbell_ignored).has_value();
}

/// Fetches header and FIS. False when that failed.
bool Port::take(unsigned slot) {
    std::array<std::uint32_t, header_size / 4> header{};
    std::array<std::byte, fis_command_size> fis{};
    Work& work = work_[slot];
    if (!host_.memory().read(list_ + slot * header_size, std::as_writable_bytes(std::span(header)))) {
        fail_host(Moved::Fault::table);
        return false;
    }
    work.table = (header[2] & ~std::uint32_t{0x7f}) | std::uint64_t{header[3]} << 32;
    work.entries = header[0] >> header_entries_shift;
    if ((header[2] & 0x7f) != 0)
        breaches_.add("a command table is not aligned");
    if ((header[0] & 0x1f) * 4 < fis_command_size)
        breaches_.add("a command FIS is shorter than a register FIS");
    if (!host_.memory().read(work.table, fis)) {
        fail_host(Moved::Fault::table);
        return false;
    }
    if (std::to_integer<std::uint8_t>(fis[0]) != fis_command) {
        breaches_.add("a command FIS is none");
        fail(slot, ata::error_aborted);
        return false;
    }
    if ((std::to_integer<std::uint8_t>(fis[1]) & fis_is_command) == 0) {
        control_fis(slot, std::to_integer<std::uint8_t>(fis[15]));
        return true;
    }
    work.request = parse(fis);
    start(slot);
    return true;
}

/// SRST in a FIS of its own, set and then cleared, resets the disk.
void Port::control_fis(unsigned slot, std::uint8_t control) {
    issue_ &= ~bit(slot);
    work_[slot] = {};
    const bool reset = (control & ata::control_software_reset) != 0;
    if (!reset && std::exchange(in_soft_reset_, false)) {
        disk_->reset(false);
        disk_is_ready();
    }
    in_soft_reset_ = reset;
}

void Port::start(unsigned slot) {
    Work& work = work_[slot];
    if (work.request.queued()) {
        if ((active_ & bit(slot)) == 0 || work.request.tag() != slot)
            breaches_.add("a queued command's tag is not its slot, or not in PxSACT");
        // The disk takes it: BSY and DRQ fall at once.
        issue_ &= ~bit(slot);
    } else {
        if (active_ != 0) {
            breaches_.add("a command that is not queued meets queued ones");
            fail(slot, ata::error_aborted);
            return;
        }
        single_ = slot;
        status_ = ata::status_busy;
    }
    const Plan plan = disk_->plan(work.request);
    later(work, disk_->latency(plan), [this, slot, plan] { carry_out(slot, plan); });
}

void Port::carry_out(unsigned slot, const Plan& plan) {
    constexpr std::array<std::uint8_t, 3> errors{ata::error_aborted, ata::error_uncorrectable,
                                                 ata::error_interface};
    Work& work = work_[slot];
    if (halted_)
        return;
    if (const auto strike = host_.injector().strike(FaultKind::status_error)) {
        fail(slot, errors[strike->random % errors.size()]);
        return;
    }
    if (plan.action == Plan::Action::refuse) {
        fail(slot, plan.error);
        return;
    }
    const Moved moved = transfer_.run(*disk_, plan, work.table + table_entries, work.entries);
    if (moved.fault != Moved::Fault::none) {
        fail_host(moved.fault);
        return;
    }
    if (moved.error != 0) {
        fail(slot, moved.error);
        return;
    }
    if (host_.injector().strike(FaultKind::completion_drop))
        return;
    Duration delay{};
    if (const auto strike = host_.injector().strike(FaultKind::completion_delay))
        delay = std::chrono::microseconds(strike->delay_us);
    later(work, delay, [this, slot, plan] { tell_end(slot, plan); });
}

void Port::tell_end(unsigned slot, const Plan& plan) {
    if (halted_)
        return;
    const bool queued = work_[slot].request.queued();
    // PRDBC: bytes that have moved.
    const auto moved = static_cast<std::uint32_t>(plan.bytes);
    host_.memory().write(list_ + slot * header_size + 4, std::as_bytes(std::span(&moved, 1)));
    std::uint32_t told = bit(slot);
    if (host_.injector().strike(FaultKind::wrong_identifier)) {
        // Of another command that is under way, if there is one.
        const std::uint32_t others = (queued ? active_ : issue_) & ~told;
        told = others & (~others + 1);
    }
    status_ = idle_status;
    error_ = 0;
    if (queued) {
        work_[slot] = {};
        active_ &= ~told;
        send_set_bits(told);
        raise(int_set_device_bits);
        if (host_.injector().strike(FaultKind::completion_duplicate)) {
            send_set_bits(told);
            raise(int_set_device_bits);
        }
    } else {
        issue_ &= ~told;
        single_.reset();
        if ((issue_ & bit(slot)) == 0)
            work_[slot] = {};
        send_register_fis();
        raise(plan.pio ? int_pio_setup : int_register_fis);
        if (host_.injector().strike(FaultKind::completion_duplicate))
            raise(int_register_fis);
    }
    fetch();
}

/// The disk ends a command with an error: nothing goes on until the port was stopped (6.2.2).
void Port::fail(unsigned slot, std::uint8_t error) {
    halted_ = true;
    status_ = idle_status | ata::status_error;
    error_ = error;
    if (work_[slot].request.queued()) {
        disk_->note_queued_error(slot, error);
        send_set_bits(0);
    } else {
        send_register_fis();
    }
    raise(int_task_file_error);
}

/// Memory could not be reached, or there was not enough (6.1.1, 6.1.3).
void Port::fail_host(Moved::Fault fault) {
    halted_ = true;
    switch (fault) {
        case Moved::Fault::table:
            raise(int_host_fatal);
            return;
        case Moved::Fault::data:
            raise(int_host_data);
            return;
        default:
            raise(int_overflow);
            return;
    }
}

// ---- received FISes (4.2.1) ----

void Port::send(unsigned place, std::span<const std::uint8_t> fis) {
    if ((command_ & cmd_fis_enable) != 0)
        host_.memory().write(fis_ + place, std::as_bytes(fis));
}

void Port::send_register_fis() {
    std::array<std::uint8_t, 20> fis{fis_register, fis_interrupt, status_, error_};
    fis[4] = static_cast<std::uint8_t>(signature_ >> 8);
    fis[12] = static_cast<std::uint8_t>(signature_);
    send(received_register, fis);
}

void Port::send_set_bits(std::uint32_t slots) {
    std::array<std::uint8_t, 8> fis{fis_set_bits, fis_interrupt, static_cast<std::uint8_t>(status_ & 0x77),
                                    error_};
    for (unsigned i = 0; i < 4; ++i)
        fis[4 + i] = static_cast<std::uint8_t>(slots >> (8 * i));
    send(received_set_bits, fis);
}

}  // namespace outboard::sim::ahci
