// The port's registers, its link and its resets. Commands: port_commands.cpp.
#include "outboard/sim/models/ahci/port.hpp"

#include <utility>

namespace outboard::sim::ahci {

namespace {

constexpr std::uint64_t low_half = 0xffffffff;
constexpr std::uint64_t list_alignment = 1024;
constexpr std::uint64_t fis_alignment = 256;

}  // namespace

Port::Port(PortHost& host, IdeBreaches& breaches, const PortSettings& settings,
           const std::optional<DiskOptions>& disk)
    : host_(host), breaches_(breaches), settings_(settings), transfer_(host.memory()) {
    if (disk)
        disk_.emplace(*disk);
    reset(true);
}

// ---- registers ----

std::uint32_t Port::read(unsigned place) const noexcept {
    switch (place) {
        case port_list:
            return static_cast<std::uint32_t>(list_);
        case port_list_upper:
            return static_cast<std::uint32_t>(list_ >> 32);
        case port_fis:
            return static_cast<std::uint32_t>(fis_);
        case port_fis_upper:
            return static_cast<std::uint32_t>(fis_ >> 32);
        case port_interrupt_status:
            return interrupt_status_;
        case port_interrupt_enable:
            return interrupt_enable_;
        case port_command: {
            std::uint32_t value = command_ | (settings_.staggered ? 0 : cmd_spin_up) | cmd_power_on;
            value |= (command_ & cmd_start) != 0 ? cmd_list_running : 0;
            value |= (command_ & cmd_fis_enable) != 0 ? cmd_fis_running : 0;
            return value | single_.value_or(0) << cmd_slot_shift;
        }
        case port_task_file:
            return status_ | std::uint32_t{error_} << 8;
        case port_signature:
            return signature_;
        case port_link_status:
            return link_status_;
        case port_link_control:
            return link_control_;
        case port_link_error:
            return link_error_;
        case port_active:
            return active_;
        case port_issue:
            return issue_;
        default:
            return 0;
    }
}

void Port::write(unsigned place, std::uint32_t value) {
    switch (place) {
        case port_list:
        case port_list_upper:
        case port_fis:
        case port_fis_upper: {
            const bool list = place < port_fis;
            if ((command_ & (list ? cmd_start : cmd_fis_enable)) != 0)
                breaches_.add("the port's memory is moved while it is used");
            std::uint64_t& base = list ? list_ : fis_;
            const bool upper = place == port_list_upper || place == port_fis_upper;
            base = upper ? (base & low_half) | std::uint64_t{value} << 32 : (base & ~low_half) | value;
            if (base % (list ? list_alignment : fis_alignment) != 0)
                breaches_.add("the port's memory is not aligned");
            base -= base % (list ? list_alignment : fis_alignment);
            return;
        }
        case port_interrupt_status:
            interrupt_status_ &= ~(value & ~(int_phy_change | int_connect_change));
            host_.interrupt_changed();
            return;
        case port_interrupt_enable: {
            const std::uint32_t before = interrupts();
            interrupt_enable_ = value & int_all;
            if ((interrupts() & ~before) != 0)
                host_.interrupt_rose(settings_.number);
            else
                host_.interrupt_changed();
            return;
        }
        case port_command:
            write_command(value);
            return;
        case port_link_control:
            write_link_control(value);
            return;
        case port_link_error:
            link_error_ &= ~value;
            if ((link_error_ & link_error_phy) == 0)
                interrupt_status_ &= ~int_phy_change;
            if ((link_error_ & link_error_exchanged) == 0)
                interrupt_status_ &= ~int_connect_change;
            host_.interrupt_changed();
            return;
        case port_active:
            if ((command_ & cmd_start) == 0)
                breaches_.add("PxSACT is written while the port is stopped");
            else
                active_ |= value;
            return;
        case port_issue:
            if ((command_ & cmd_start) == 0) {
                breaches_.add("a command is issued while the port is stopped");
                return;
            }
            if ((value & issue_) != 0)
                breaches_.add("a command is issued in a slot that is in use");
            if (settings_.slots < most_slots && value >> settings_.slots != 0)
                breaches_.add("a command is issued in a slot that there is not");
            issue_ |= value;
            fetch();
            return;
        default:
            return;
    }
}

void Port::write_command(std::uint32_t value) {
    const std::uint32_t before = command_;
    if ((value & cmd_list_override) != 0 && (before & cmd_start) == 0)
        status_ &= static_cast<std::uint8_t>(~(ata::status_busy | ata::status_data_request));
    command_ = value & cmd_writable;
    if ((command_ & cmd_start & ~before) != 0) {
        if ((command_ & cmd_fis_enable) == 0)
            breaches_.add("the port is started without FIS receive");
        if ((status_ & (ata::status_busy | ata::status_data_request)) != 0)
            breaches_.add("the port is started while its disk is busy");
    }
    if ((before & cmd_start & ~command_) != 0)
        stop();
    if ((command_ & cmd_spin_up & ~before) != 0 && settings_.staggered && present() && link_status_ == 0)
        link_comes_up();
}

/// ST was cleared: the HBA forgets what it was given (10.3.2). The disk goes on with what it does.
void Port::stop() {
    for (Work& work : work_)
        if (work.timer)
            host_.clock().cancel(*work.timer);
    work_ = {};
    active_ = 0;
    issue_ = 0;
    halted_ = false;
    single_.reset();
}

// ---- link and resets ----

void Port::write_link_control(std::uint32_t value) {
    const bool before = (link_control_ & link_control_detection) == link_control_reset;
    const bool after = (value & link_control_detection) == link_control_reset;
    if (after && (command_ & cmd_start) != 0)
        breaches_.add("the link is reset while the port is started");
    link_control_ = value & 0xfff;
    if (after && !before)
        link_goes_down();
    else if (before && !after && present())
        link_comes_up();
}

void Port::link_goes_down() {
    drop_timers();
    link_status_ = 0;
    status_ = task_file_without_disk;
    error_ = 0;
    signature_ = no_signature;
    hung_ = false;
    in_soft_reset_ = false;
}

/// The disk sees COMRESET, and answers.
void Port::link_comes_up() {
    link_status_ = link_up;
    link_error_ |= link_error_exchanged | link_error_phy;
    status_ = ata::status_busy;
    raise(int_connect_change | int_phy_change);
    if (host_.injector().strike(FaultKind::reset_failure))
        return;  // busy for good, or until the next reset
    disk_->reset(false);
    reset_timer_.reset();
    if (disk_->reset_time() == Duration::zero()) {
        disk_is_ready();
        return;
    }
    reset_timer_ = host_.clock().after(disk_->reset_time(), [this] {
        reset_timer_.reset();
        disk_is_ready();
    });
}

/// The first FIS after a reset brings the signature.
void Port::disk_is_ready() {
    hung_ = false;
    status_ = ata::status_ready | ata::status_seek_complete;
    error_ = ata::diagnostic_passed;
    signature_ = ata_signature;
    send_register_fis();
}

void Port::reset(bool power) {
    drop_timers();
    stop();
    list_ = fis_ = 0;
    interrupt_status_ = interrupt_enable_ = 0;
    command_ = 0;
    link_control_ = 0;
    link_error_ = 0;
    link_goes_down();
    if (power)
        plugged_ = true;
    if (power && disk_)
        disk_->reset(true);
    if (present() && !settings_.staggered)
        link_comes_up();
}

void Port::plug(bool in) {
    if (in == plugged_ || !disk_)
        return;
    plugged_ = in;
    if (in) {
        disk_->reset(true);
        link_comes_up();
        return;
    }
    // Commands under way never end.
    link_goes_down();
    for (Work& work : work_)
        if (work.timer)
            host_.clock().cancel(*std::exchange(work.timer, std::nullopt));
    link_error_ |= link_error_phy;
    raise(int_phy_change);
}

void Port::drop_timers() noexcept {
    for (Work& work : work_)
        if (work.timer)
            host_.clock().cancel(*std::exchange(work.timer, std::nullopt));
    if (reset_timer_)
        host_.clock().cancel(*std::exchange(reset_timer_, std::nullopt));
}

void Port::raise(std::uint32_t bits) {
    interrupt_status_ |= bits;
    // A second FIS of a kind is as much of an event as the first.
    if ((bits & interrupt_enable_) != 0)
        host_.interrupt_rose(settings_.number);
}

}  // namespace outboard::sim::ahci
