#include "outboard/sim/models/ahci/hba.hpp"

#include "outboard/base/error.hpp"

#include <chrono>

namespace outboard::sim::ahci {

namespace {

constexpr unsigned register_bar = 5;
constexpr std::uint64_t register_bytes = 0x2000;
static_assert(first_port + most_ports * port_size <= register_bytes);

PciDescription describe(const Options& options) {
    if (options.ports.empty() || options.ports.size() > most_ports || options.slots < 1 ||
        options.slots > most_slots)
        throw Error({.kind = ErrorKind::usage,
                     .action = "simulate",
                     .subject = "an AHCI controller",
                     .cause = "it has 1 to 32 ports, and 1 to 32 command slots at each",
                     .remedy = {}});
    PciDescription description{.name = "ahci", .vendor = 0x1234, .device = 0x4148};
    description.class_code = 0x010601;
    description.subsystem_vendor = 0x1234;
    description.subsystem = 0x4148;
    description.bars[register_bar] = {.kind = BarKind::memory32, .size = register_bytes};
    description.interrupt_line = true;
    description.msi_vectors = options.messages ? 1 : 0;
    description.power_management = true;
    return description;
}

}  // namespace

Hba::Hba(const Options& options) : PciModel(describe(options)), options_(options), breaches_(options.report) {
    PortHost& host = *this;
    for (unsigned number = 0; number < options.ports.size(); ++number)
        ports_.push_back(std::make_unique<Port>(
            host, breaches_,
            PortSettings{.number = number, .slots = options.slots, .staggered = options.staggered},
            options.ports[number]));
    handoff_ = options.firmware_owned ? handoff_firmware : 0;
}

// ---- registers ----

std::uint64_t Hba::read(unsigned, std::uint64_t offset, unsigned width) {
    follow_orders();
    const auto place = static_cast<unsigned>(offset & ~std::uint64_t{3});
    if (width == 8)
        return read_register(place) | std::uint64_t{read_register(place + 4)} << 32;
    return read_register(place) >> (8 * (offset & 3));
}

void Hba::write(unsigned, std::uint64_t offset, unsigned width, std::uint64_t value) {
    follow_orders();
    const auto place = static_cast<unsigned>(offset);
    if (width < 4) {
        breaches_.add("a register is written in parts");
        return;
    }
    write_register(place, static_cast<std::uint32_t>(value));
    if (width == 8)
        write_register(place + 4, static_cast<std::uint32_t>(value >> 32));
}

std::uint32_t Hba::read_register(unsigned place) const noexcept {
    if (place >= first_port) {
        const unsigned number = (place - first_port) / port_size;
        return number < ports_.size() ? ports_[number]->read((place - first_port) % port_size) : 0;
    }
    switch (place) {
        case host_capabilities:
            return cap_addresses_64 | (options_.queuing ? cap_queuing : 0) |
                   (options_.staggered ? cap_staggered_spin_up : 0) | cap_list_override | cap_speed_6 |
                   cap_ahci_only | (options_.slots - 1) << cap_slots_shift |
                   static_cast<std::uint32_t>(ports_.size() - 1);
        case host_control:
            return control_ | (in_reset_ ? control_reset : 0);
        case host_interrupt_status:
            return interrupt_status_;
        case host_ports:
            return static_cast<std::uint32_t>((std::uint64_t{1} << ports_.size()) - 1);
        case host_version:
            return version_1_3_1;
        case host_capabilities_2:
            return options_.firmware_owned ? cap2_handoff : 0;
        case host_handoff:
            return handoff_;
        default:
            return 0;
    }
}

void Hba::write_register(unsigned place, std::uint32_t value) {
    if (in_reset_)
        return;
    if (place >= first_port) {
        const unsigned number = (place - first_port) / port_size;
        if (number < ports_.size())
            ports_[number]->write((place - first_port) % port_size, value);
        return;
    }
    switch (place) {
        case host_control:
            write_control(value);
            return;
        case host_interrupt_status: {
            interrupt_status_ &= ~value;
            for (unsigned number = 0; number < ports_.size(); ++number)
                if (ports_[number]->interrupts() != 0)
                    interrupt_rose(number);
            drive_line();
            return;
        }
        case host_handoff:
            handoff_ = (handoff_ & handoff_firmware) | (value & handoff_os);
            if ((value & handoff_os) != 0 && (handoff_ & handoff_firmware) != 0)
                timers().after(std::chrono::milliseconds(2), [this] { handoff_ &= ~handoff_firmware; });
            return;
        default:
            return;
    }
}

void Hba::write_control(std::uint32_t value) {
    if ((value & control_reset) != 0) {
        if (faults().strike(FaultKind::reset_failure)) {
            in_reset_ = true;
            return;
        }
        control_ = control_enable;
        interrupt_status_ = 0;
        for (const auto& port : ports_)
            port->reset(false);
        drive_line();
        return;
    }
    const bool enabled = (value & control_interrupts & ~control_) != 0;
    control_ = control_enable | (value & control_interrupts);
    if (enabled && interrupt_status_ != 0 && interrupts().messages_enabled())
        interrupts().notify();
    drive_line();
}

// ---- interrupts ----

void Hba::interrupt_rose(unsigned port) {
    interrupt_status_ |= std::uint32_t{1} << port;
    if ((control_ & control_interrupts) != 0 && interrupts().messages_enabled())
        interrupts().notify();
    drive_line();
}

void Hba::drive_line() noexcept {
    interrupts().set_line(interrupt_status_ != 0 && (control_ & control_interrupts) != 0 &&
                          !interrupts().messages_enabled());
}

// ---- reset, and what happens to disks ----

void Hba::reset() {
    in_reset_ = false;
    control_ = control_enable;
    interrupt_status_ = 0;
    handoff_ = options_.firmware_owned ? handoff_firmware : 0;
    for (const auto& port : ports_)
        port->reset(true);
    drive_line();
}

void Hba::plug(unsigned port, bool in, Duration delay) {
    const std::scoped_lock lock(ordering_);
    orders_.push_back({.port = port, .in = in, .delay = delay});
    ordered_.store(true, std::memory_order_release);
}

void Hba::follow_orders() {
    if (!ordered_.load(std::memory_order_acquire)) [[likely]]
        return;
    std::vector<PlugOrder> orders;
    {
        const std::scoped_lock lock(ordering_);
        orders.swap(orders_);
        ordered_.store(false, std::memory_order_relaxed);
    }
    for (const PlugOrder& order : orders) {
        const auto act = [this, order] { ports_[order.port]->plug(order.in); };
        if (order.delay == Duration::zero())
            act();
        else
            timers().after(order.delay, act);
    }
}

void Hba::cut_power(std::uint64_t seed) {
    for (unsigned number = 0; number < ports_.size(); ++number)
        if (Disk* const disk_there = disk(number))
            disk_there->storage().cut_power(seed + number);
    reset_device();
}

}  // namespace outboard::sim::ahci
