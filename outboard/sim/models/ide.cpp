#include "outboard/sim/models/ide.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <span>

namespace outboard::sim {

namespace {

constexpr std::uint64_t no_register = ~std::uint64_t{0};
constexpr unsigned bus_master_bar = 4;
constexpr std::size_t first_bar_register = 0x10;

IdeMode mode_of(const IdeOptions& options, const IdeController& controller) {
    return options.mode.value_or(controller.mode);
}

/// The bits for one channel at one place of configuration space are all set.
bool set_for(std::span<const IdeConfigBits> all, unsigned channel, const ConfigSpaceModel& config) {
    return std::ranges::all_of(all, [&](const IdeConfigBits& one) {
        return one.channel != channel || (config.get(one.place, 1) & one.bits) == one.bits;
    });
}

bool concerns(std::span<const IdeConfigBits> all, unsigned channel) {
    return std::ranges::any_of(all, [&](const IdeConfigBits& one) { return one.channel == channel; });
}

}  // namespace

IdeModel::IdeModel(const IdeOptions& options) : IdeModel(options, find_ide_controller(options.controller)) {}

IdeModel::IdeModel(const IdeOptions& options, const IdeController& controller)
    : PciModel(describe(controller, mode_of(options, controller))),
      controller_(controller),
      control_offset_(mode_of(options, controller) == IdeMode::native ? 2 : 0),
      breaches_(options.report),
      channels_{{IdeChannel({dma(), timers(), breaches_, faults(), [this] { interrupt_changed(0); }}),
                 IdeChannel({dma(), timers(), breaches_, faults(), [this] { interrupt_changed(1); }})}} {
    for (const IdeConfigRegister& own : controller.registers) {
        const auto all = static_cast<std::uint32_t>((std::uint64_t{1} << (8 * own.width)) - 1);
        config().define(own.place, own.width, own.value, all);
    }
    // In compatibility mode the ports are fixed: the registers of their BARs are not there (clause 2.3).
    for (unsigned bar = 0; bar < bus_master_bar && control_offset_ == 0; ++bar)
        config().define(first_bar_register + std::size_t{4} * bar, 4, 0, 0);
    for (unsigned place = 0; place < ide_places; ++place) {
        if (const auto& disk = options.disks[place])
            channels_[place / 2].add_disk(place % 2, *disk);
    }
}

// ---- registers ----

bool IdeModel::enabled(unsigned channel) noexcept {
    return set_for(controller_.enables, channel, config());
}

std::uint64_t IdeModel::read(unsigned bar, std::uint64_t offset, unsigned width) {
    if (bar == bus_master_bar) {
        std::uint64_t value = 0;
        for (unsigned i = width; i-- > 0;)
            value = value << 8 | read_bus_master(static_cast<unsigned>(offset) + i);
        return value;
    }
    const unsigned index = bar / 2;
    if (!enabled(index))
        return no_register;
    if (bar % 2 == 0)
        return read_command_block(channels_[index], offset, width);
    return offset == control_offset_ && width == 1 ? channels_[index].read_alternate_status() : no_register;
}

void IdeModel::write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) {
    if (bar == bus_master_bar) {
        for (unsigned i = 0; i < width; ++i)
            write_bus_master(static_cast<unsigned>(offset) + i, static_cast<std::uint8_t>(value >> (8 * i)));
        return;
    }
    const unsigned index = bar / 2;
    if (!enabled(index))
        return;
    if (bar % 2 == 0)
        write_command_block(channels_[index], offset, width, value);
    else if (offset == control_offset_ && width == 1)
        channels_[index].write_device_control(static_cast<std::uint8_t>(value));
}

std::uint64_t IdeModel::read_command_block(IdeChannel& channel, std::uint64_t offset, unsigned width) {
    if (offset == ata::data_register && (width == 2 || (width == 4 && controller_.wide_data))) {
        const std::uint64_t low = channel.read_data();
        return width == 2 ? low : low | std::uint64_t{channel.read_data()} << 16;
    }
    if (offset != ata::data_register && width == 1)
        return channel.read_command_block(static_cast<ata::Register>(offset));
    breaches_.add("a register of the command block is read with a width that it does not have");
    return no_register;
}

void IdeModel::write_command_block(IdeChannel& channel, std::uint64_t offset, unsigned width,
                                   std::uint64_t value) {
    if (offset == ata::data_register && (width == 2 || (width == 4 && controller_.wide_data))) {
        channel.write_data(static_cast<std::uint16_t>(value));
        if (width == 4)
            channel.write_data(static_cast<std::uint16_t>(value >> 16));
    } else if (offset != ata::data_register && width == 1) {
        channel.write_command_block(static_cast<ata::Register>(offset), static_cast<std::uint8_t>(value));
    } else {
        breaches_.add("a register of the command block is written with a width that it does not have");
    }
}

std::uint8_t IdeModel::read_bus_master(unsigned offset) {
    const unsigned place = offset % bus_master::block_size;
    if (controller_.mirror != 0 && (place == 1 || place == 3))
        return static_cast<std::uint8_t>(config().get(controller_.mirror + offset, 1));
    return channels_[offset / bus_master::block_size].read_bus_master(place);
}

void IdeModel::write_bus_master(unsigned offset, std::uint8_t value) {
    const unsigned place = offset % bus_master::block_size;
    if (controller_.mirror != 0 && (place == 1 || place == 3)) {
        const auto byte = static_cast<std::byte>(value);
        config().write(controller_.mirror + offset, {&byte, 1});
        config_written(controller_.mirror + offset, 1);
        return;
    }
    channels_[offset / bus_master::block_size].write_bus_master(place, value);
}

// ---- interrupts ----

void IdeModel::interrupt_changed(unsigned channel) {
    if (channels_[channel].interrupt() && !controller_.latches.empty()) {
        latched_[channel] = true;
        show_latches();
    }
    drive_line();
}

void IdeModel::config_written(std::size_t offset, std::size_t size) {
    for (const IdeConfigBits& latch : controller_.latches) {
        if (latch.place - offset < size && (config().get(latch.place, 1) & latch.bits) != 0)
            latched_[latch.channel] = false;
    }
    show_latches();
    drive_line();
}

void IdeModel::show_latches() noexcept {
    for (const IdeConfigBits& latch : controller_.latches) {
        const std::uint32_t others = config().get(latch.place, 1) & ~std::uint32_t{latch.bits};
        config().define(latch.place, 1, latched_[latch.channel] ? others | latch.bits : others, 0xff);
    }
}

/// Both channels share the line (clause 2.4).
void IdeModel::drive_line() noexcept {
    bool asserted = false;
    for (unsigned channel = 0; channel < ide_channels; ++channel) {
        const bool pending = controller_.latches.empty() ? channels_[channel].interrupt() : latched_[channel];
        const bool blocked =
            concerns(controller_.blocks, channel) && set_for(controller_.blocks, channel, config());
        asserted = asserted || (pending && !blocked);
    }
    interrupts().set_line(asserted && description().interrupt_line);
}

// ---- reset ----

void IdeModel::reset() {
    for (IdeChannel& channel : channels_)
        channel.reset();
    latched_ = {};
    show_latches();
    drive_line();
}

void IdeModel::cut_power(std::uint64_t seed) {
    for (unsigned place = 0; place < ide_places; ++place) {
        if (IdeDisk* const disk_there = disk(place))
            disk_there->storage().cut_power(seed + place);
    }
    reset_device();
}

}  // namespace outboard::sim
