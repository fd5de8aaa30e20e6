#include "outboard/sim/models/ide_channel.hpp"

#include <utility>

namespace outboard::sim {

namespace {

/// A cable without a device that drives it: the host's pull-down holds DD7 (ATA/ATAPI-6, annex of signals).
constexpr std::uint8_t floating = 0x7f;

}  // namespace

IdeChannel::IdeChannel(IdeChannelSurroundings surroundings)
    : surroundings_(std::move(surroundings)),
      bus_master_(surroundings_.memory, surroundings_.breaches, surroundings_.faults) {}

void IdeChannel::add_disk(unsigned unit, const IdeDiskOptions& options) {
    IdeDiskHost& host = *this;
    disks_[unit] = std::make_unique<IdeDisk>(options, unit, host, surroundings_.timers,
                                             surroundings_.breaches, surroundings_.faults);
}

// ---- what the disks drive ----

/// Only the selected device drives INTRQ, and only while nIEN is zero. The bus master notes its rising edge.
void IdeChannel::interrupt_changed() {
    const IdeDisk* const disk = selected();
    const bool now = disk != nullptr && disk->interrupt() && (control_ & ata::control_no_interrupt) == 0;
    if (std::exchange(interrupt_, now) == now)
        return;
    if (now)
        bus_master_.note_interrupt();
    surroundings_.interrupt_changed();
}

void IdeChannel::dma_ready() {
    if (IdeDisk* const disk = selected(); disk != nullptr)
        bus_master_.run(*disk);
}

// ---- command block ----

std::uint8_t IdeChannel::status_without_selected() const noexcept {
    return disks_[0] != nullptr ? std::uint8_t{0} : floating;
}

std::uint8_t IdeChannel::read_command_block(ata::Register place) {
    IdeDisk* const disk = selected();
    if (place == ata::status_or_command)
        return disk != nullptr ? disk->read_status() : status_without_selected();
    const IdeDisk* const other = answering();
    return other != nullptr ? other->read(place) : floating;
}

std::uint8_t IdeChannel::read_alternate_status() const {
    const IdeDisk* const disk = selected();
    return disk != nullptr ? disk->status() : status_without_selected();
}

void IdeChannel::write_command_block(ata::Register place, std::uint8_t value) {
    if (const IdeDisk* const disk = selected(); disk != nullptr && disk->occupied()) {
        surroundings_.breaches.add("the command block is written while BSY or DRQ is set");
        return;
    }
    if (place == ata::status_or_command) {
        for (const auto& disk : disks_) {
            if (disk)
                disk->show_high_order_byte(false);
        }
        if (value == ata::execute_device_diagnostic)
            diagnose();
        else if (IdeDisk* const disk = selected(); disk != nullptr)
            disk->execute(value);
        return;
    }
    for (const auto& disk : disks_) {
        if (disk)
            disk->write(place, value);
    }
    if (place == ata::device_register) {
        selected_ = (value & ata::device_1) != 0 ? 1 : 0;
        interrupt_changed();
    }
}

/// Both devices carry it out, whichever is selected; device 0 reports (ATA/ATAPI-6, 8.9).
void IdeChannel::diagnose() {
    selected_ = 0;
    for (unsigned unit = 0; unit < disks_.size(); ++unit) {
        if (disks_[unit])
            disks_[unit]->diagnose(unit == 0);
    }
    interrupt_changed();
}

std::uint16_t IdeChannel::read_data() {
    IdeDisk* const disk = selected();
    return disk != nullptr ? disk->read_data() : std::uint16_t{0xffff};
}

void IdeChannel::write_data(std::uint16_t word) {
    if (IdeDisk* const disk = selected(); disk != nullptr)
        disk->write_data(word);
}

// ---- control block ----

void IdeChannel::write_device_control(std::uint8_t value) {
    const bool was = (control_ & ata::control_software_reset) != 0;
    const bool is = (value & ata::control_software_reset) != 0;
    control_ = value;
    for (const auto& disk : disks_) {
        if (!disk)
            continue;
        disk->show_high_order_byte((value & ata::control_high_order_byte) != 0);
        if (is && !was)
            disk->hold_reset();
        if (was && !is)
            disk->release_reset();
    }
    if (is)
        selected_ = 0;
    interrupt_changed();
}

// ---- bus master ----

void IdeChannel::write_bus_master(unsigned place, std::uint8_t value) {
    bus_master_.write(place, value);
    dma_ready();
}

void IdeChannel::reset() {
    for (const auto& disk : disks_) {
        if (disk)
            disk->power_on();
    }
    bus_master_.reset();
    selected_ = 0;
    control_ = 0;
    interrupt_ = false;
}

}  // namespace outboard::sim
