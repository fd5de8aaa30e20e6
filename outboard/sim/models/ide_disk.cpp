// The disk's registers, its resets, and how commands end. Commands: ide_disk_commands.cpp; their data:
// ide_disk_data.cpp.
#include "outboard/sim/models/ide_disk.hpp"

#include "outboard/base/error.hpp"

#include <array>
#include <chrono>
#include <utility>

namespace outboard::sim {

namespace {

StorageOptions checked(const IdeDiskOptions& options) {
    const std::uint32_t sector = options.storage.block_size;
    if (sector != 512 && sector != 4096)
        throw Error({.kind = ErrorKind::usage,
                     .action = "simulate",
                     .subject = "an ATA disk",
                     .cause = "its logical sectors have neither 512 nor 4096 bytes",
                     .remedy = {}});
    return options.storage;
}

}  // namespace

IdeDisk::IdeDisk(const IdeDiskOptions& options, unsigned unit, IdeDiskHost& host, Timers& timers,
                 IdeBreaches& breaches, FaultInjector& faults)
    : options_(options),
      host_(host),
      timers_(timers),
      breaches_(breaches),
      faults_(faults),
      storage_(checked(options)) {
    identity_ = {.serial = options.serial,
                 .model = options.model,
                 .firmware = options.firmware,
                 .sectors = storage_.size() / storage_.block_size(),
                 .sector_size = storage_.block_size(),
                 .extended = options.extended,
                 .has_write_cache = options.write_cache,
                 .unit = unit};
    const std::uint64_t most = options.extended ? std::uint64_t{1} << 48 : ata::end_of_28;
    if (identity_.sectors > most)
        throw Error({.kind = ErrorKind::usage,
                     .action = "simulate",
                     .subject = "an ATA disk",
                     .cause = "it has more sectors than its commands address",
                     .remedy = "state a smaller size"});
    power_on();
}

// ---- registers ----

std::uint8_t IdeDisk::status() const noexcept {
    if (busy_)
        return ata::status_busy | ata::status_ready | ata::status_seek_complete;
    unsigned bits = ata::status_ready | ata::status_seek_complete;
    bits |= data_request_ ? ata::status_data_request : 0U;
    bits |= failed_ ? ata::status_error : 0U;
    bits |= fault_ ? ata::status_fault : 0U;
    return static_cast<std::uint8_t>(bits);
}

std::uint8_t IdeDisk::read_status() {
    drop_interrupt();
    return status();
}

std::uint8_t IdeDisk::read(ata::Register place) const noexcept {
    if (busy_)
        return status();
    switch (place) {
        case ata::error_or_features:
            return error_;
        case ata::device_register:
            return registers_[place].current;
        default:
            return high_order_byte_ ? registers_[place].previous : registers_[place].current;
    }
}

void IdeDisk::write(ata::Register place, std::uint8_t value) noexcept {
    high_order_byte_ = false;
    if (occupied())
        return;
    Deep& deep = registers_[place];
    deep = {.current = value, .previous = deep.current};
}

// ---- interrupt and the end of commands ----

void IdeDisk::raise_interrupt() {
    interrupt_ = true;
    host_.interrupt_changed();
}

void IdeDisk::drop_interrupt() {
    if (std::exchange(interrupt_, false))
        host_.interrupt_changed();
}

void IdeDisk::complete() {
    constexpr std::array<std::uint8_t, 4> errors{ata::error_aborted, ata::error_uncorrectable,
                                                 ata::error_interface, 0};
    if (const auto strike = faults_.strike(FaultKind::status_error)) {
        fail({.error = errors[strike->random % errors.size()], .lba = offset_ / identity_.sector_size});
        return;
    }
    end_command();
}

/// However the command ended: the disk is free again, and says so.
void IdeDisk::end_command() {
    constexpr Duration echo = std::chrono::microseconds(100);
    drop_command();
    busy_ = true;
    if (faults_.strike(FaultKind::completion_drop))
        return;
    const auto tell = [this] {
        timer_.reset();
        busy_ = false;
        raise_interrupt();
    };
    if (const auto delay = faults_.strike(FaultKind::completion_delay)) {
        timer_ = timers_.after(std::chrono::microseconds(delay->delay_us), tell);
        return;
    }
    tell();
    if (faults_.strike(FaultKind::completion_duplicate))
        timers_.after(echo, [this] { raise_interrupt(); });
}

void IdeDisk::fail(Failure failure) {
    error_ = failure.error;
    failed_ = failure.error != 0;
    fault_ = failure.error == 0;
    if ((failure.error & ~unsigned{ata::error_aborted}) != 0) {
        // Where it happened (clause 8, "error outputs").
        const auto put = [&](ata::Register place, unsigned low, unsigned high) {
            registers_[place].current = static_cast<std::uint8_t>(failure.lba >> low);
            if (command_.extended)
                registers_[place].previous = static_cast<std::uint8_t>(failure.lba >> high);
        };
        put(ata::lba_low, 0, 24);
        put(ata::lba_mid, 8, 32);
        put(ata::lba_high, 16, 40);
        std::uint8_t& device = registers_[ata::device_register].current;
        if (!command_.extended)
            device = static_cast<std::uint8_t>(
                (device & 0xf0U) | static_cast<unsigned>(failure.lba >> 24 & ata::device_lba_bits));
    }
    end_command();
}

void IdeDisk::drop_command() noexcept {
    if (timer_)
        timers_.cancel(*timer_);
    timer_.reset();
    data_request_ = false;
    dma_ = Dma::none;
    failure_.reset();
    buffer_.clear();
    moved_ = 0;
}

/// The others, and a flush of nothing, are answered by the disk's electronics.
bool IdeDisk::reaches_medium() const noexcept {
    switch (command_.action) {
        case IdeAction::identify:
        case IdeAction::feature:
        case IdeAction::multiple:
            return false;
        case IdeAction::flush:
            return storage_.unstable_bytes() > 0;
        default:
            return true;
    }
}

void IdeDisk::after_latency(void (IdeDisk::*action)()) {
    if (!reaches_medium() || options_.latency == Duration::zero()) {
        (this->*action)();
        return;
    }
    timer_ = timers_.after(options_.latency, [this, action] {
        timer_.reset();
        (this->*action)();
    });
}

// ---- reset ----

void IdeDisk::power_on() {
    revert_settings();
    hold_reset();
    finish_reset();
}

void IdeDisk::revert_settings() noexcept {
    settings_ = {};
    settings_.write_cache = options_.write_cache;
}

void IdeDisk::hold_reset() {
    drop_command();
    drop_interrupt();
    busy_ = true;
    in_reset_ = true;
}

void IdeDisk::release_reset() {
    if (!in_reset_)
        return;
    if (settings_.reverts_on_reset)
        revert_settings();
    if (faults_.strike(FaultKind::reset_failure))
        return;  // busy for good, or until the next reset
    if (options_.reset_time == Duration::zero()) {
        finish_reset();
        return;
    }
    timer_ = timers_.after(options_.reset_time, [this] {
        timer_.reset();
        finish_reset();
    });
}

void IdeDisk::finish_reset() {
    put_signature();
    in_reset_ = false;
    busy_ = false;
}

/// Clause 9.12: what a device that does not take packets leaves in its registers.
void IdeDisk::put_signature() noexcept {
    registers_ = {};
    registers_[ata::sector_count].current = 1;
    registers_[ata::lba_low].current = 1;
    error_ = ata::diagnostic_passed;
    failed_ = false;
    fault_ = false;
    high_order_byte_ = false;
}

void IdeDisk::diagnose(bool interrupts) {
    drop_command();
    drop_interrupt();
    put_signature();
    busy_ = false;
    if (interrupts)
        raise_interrupt();
}

}  // namespace outboard::sim
