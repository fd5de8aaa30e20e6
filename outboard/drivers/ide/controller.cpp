#include "outboard/drivers/ide/controller.hpp"

#include "outboard/base/error.hpp"

#include <exception>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace outboard::ide {

namespace {

constexpr std::array<RegionIndex, 2> command_bar{RegionIndex::bar0, RegionIndex::bar2};
constexpr std::array<RegionIndex, 2> control_bar{RegionIndex::bar1, RegionIndex::bar3};
constexpr RegionIndex bus_master_bar = RegionIndex::bar4;

/// Where the control block's one register lies: alone in compatibility mode (port 3f6h or 376h), the third of
/// four bytes in native mode (PCI IDE 1.0, 2.4).
constexpr std::uint64_t control_offset(bool native) {
    return native ? 2 : 0;
}

constexpr std::array<std::string_view, 2> channel_names{"primary", "secondary"};

std::uint32_t read_bits(Device& device, const RegisterBits& where) {
    if (where.space == RegisterBits::Space::config)
        return device.config().read8(where.offset);
    return device.region(RegionIndex::bar5).load<std::uint32_t>(where.offset);
}

void write_bits(Device& device, const RegisterBits& where, std::uint32_t value) {
    if (where.space == RegisterBits::Space::config)
        device.config().write8(where.offset, static_cast<std::uint8_t>(value));
    else
        device.region(RegionIndex::bar5).store<std::uint32_t>(where.offset, value);
}

}  // namespace

Controller::Controller(Device& device, RunLoop& loop, const ControllerQuirks& quirks, DriverOptions options)
    : device_(device),
      loop_(loop),
      quirks_(quirks),
      options_(std::move(options)),
      identity_(device.config().identity()) {
    EngineOptions engine_options;
    if (options_.command_timeout)
        engine_options.limits.command = *options_.command_timeout;
    if (options_.reset_timeout)
        engine_options.limits.reset = *options_.reset_timeout;
    engine_options.write_cache = options_.write_cache;
    engine_options.dma = options_.dma;
    engine_options.free_transfer_mode = quirks.free_transfer_mode;
    engine_options.prd_largest = quirks.prd_largest;
    engine_options.report = options_.report;
    for (unsigned channel = 0; channel < channels; ++channel) {
        if (!channel_enabled(channel))
            continue;
        const auto windows = find_windows(channel);
        engine_options.acknowledge = nullptr;
        if (quirks.interrupt_acknowledge[channel].space != RegisterBits::Space::none)
            engine_options.acknowledge = [this, channel] { acknowledge_at_controller(channel); };
        if (windows)
            engines_[channel] = std::make_unique<ChannelEngine>(
                loop, device.arena(), *windows, engine_options,
                fmt::format("{}, {} channel", device.name(), channel_names[channel]));
    }
    if (!engines_[0] && !engines_[1])
        refuse_device(device.name(),
                      "neither of its channels is enabled and has registers that can be reached");
}

bool Controller::channel_enabled(unsigned channel) const {
    const RegisterBits& enabled = quirks_.channel_enabled[channel];
    return enabled.space == RegisterBits::Space::none || (read_bits(device_, enabled) & enabled.bits) != 0;
}

std::optional<ChannelWindows> Controller::find_windows(unsigned channel) const {
    if (quirks_.memory && device_.has_region(quirks_.memory->region)) {
        const MemoryLayout& layout = *quirks_.memory;
        const Region region = device_.region(layout.region);
        return ChannelWindows{.command = region.block<8>(layout.command[channel]),
                              .control = region.block<1>(layout.control[channel]),
                              .bus_master = region.block<8>(layout.bus_master[channel]),
                              .wide_data = quirks_.wide_data};
    }
    if (!device_.has_region(command_bar[channel]) || !device_.has_region(control_bar[channel])) {
        tell(fmt::format("{}, {} channel: its ports cannot be reached, it is left alone", device_.name(),
                         channel_names[channel]));
        return std::nullopt;
    }
    const bool native = is_native(quirks_, identity_, channel);
    ChannelWindows windows{.command = device_.region(command_bar[channel]).block<8>(),
                           .control = device_.region(control_bar[channel]).block<1>(control_offset(native)),
                           .bus_master = std::nullopt,
                           .wide_data = quirks_.wide_data};
    if (has_bus_master(quirks_, identity_) && device_.has_region(bus_master_bar)) {
        const auto block = device_.region(bus_master_bar).block<8>(std::uint64_t{8} * channel);
        // A simplex bus master serves one channel at a time: the first one gets it, for good.
        if (channel == 0 || !block.read<BusMasterStatus>()[BusMasterStatus::simplex])
            windows.bus_master = block;
    }
    return windows;
}

Task<void> Controller::start() {
    // Before any command: a level-triggered line that nobody serves would disturb whoever shares it.
    if (interrupts_usable())
        start_interrupts();
    else
        device_.poll_only();
    device_.set_bus_master(true);
    std::exception_ptr hung;
    for (auto& engine : engines_) {
        if (!engine)
            continue;
        try {
            co_await engine->start();
        } catch (const outboard::Error& error) {
            tell(error.what());
            hung = std::current_exception();
            engine.reset();
        }
    }
    if (hung && block_devices().empty())
        std::rethrow_exception(hung);
}

bool Controller::interrupts_usable() const {
    if (options_.completion == CompletionMode::poll || !quirks_.interrupt_pin ||
        device_.interrupt_count(InterruptKind::intx) == 0)
        return false;
    bool usable = true;
    for (unsigned channel = 0; channel < channels; ++channel) {
        if (engines_[channel])
            usable = usable && is_native(quirks_, identity_, channel) &&
                     engines_[channel]->access().channel.has_bus_master();
    }
    return usable;
}

void Controller::start_interrupts() {
    const RegisterBits& mask = quirks_.interrupt_mask;
    if (mask.space != RegisterBits::Space::none)
        write_bits(device_, mask, read_bits(device_, mask) & ~(mask.bits | mask.write_as_zero));
    interrupts_ = device_.enable_interrupts(InterruptKind::intx);
    for (const auto& engine : engines_) {
        if (engine)
            engine->use_interrupts(true);
    }
    interrupt_service_ = serve_interrupts();
    interrupt_service_.start();
}

Task<void> Controller::serve_interrupts() {
    Interrupt& interrupt = interrupts_.front();
    while (true) {
        std::uint64_t count = 0;
        const int result = co_await loop_.event(interrupt.eventfd(), count);
        // The line may be shared and both channels may have raised it: each looks for itself. It falls when
        // the devices' status registers have been read, so only then is it unmasked.
        for (const auto& engine : engines_) {
            if (engine)
                engine->on_interrupt();
        }
        if (const int error = result < 0 ? -result : interrupt.unmask(); error != 0) {
            tell(fmt::format("{}: its interrupt cannot be used any more ({}), completions are polled for",
                             device_.name(), errno_text(error)));
            break;
        }
    }
    for (const auto& engine : engines_) {
        if (engine)
            engine->use_interrupts(false);
    }
}

void Controller::acknowledge_at_controller(unsigned channel) noexcept {
    const RegisterBits& acknowledge = quirks_.interrupt_acknowledge[channel];
    try {
        const std::uint32_t value = read_bits(device_, acknowledge);
        if ((value & acknowledge.bits) != 0)
            write_bits(device_, acknowledge, value);
    } catch (const outboard::Error& error) {
        tell(error.what());
    }
}

std::vector<BlockDevice*> Controller::block_devices() {
    std::vector<BlockDevice*> devices;
    for (const auto& engine : engines_) {
        if (!engine)
            continue;
        for (const auto& disk : engine->disks()) {
            if (disk)
                devices.push_back(disk.get());
        }
    }
    return devices;
}

Task<void> Controller::shut_down() {
    std::exception_ptr failure;
    for (const auto& engine : engines_) {
        if (!engine)
            continue;
        try {
            co_await engine->shut_down();
        } catch (const outboard::Error&) {
            failure = std::current_exception();
        }
    }
    if (!interrupts_.empty()) {
        interrupt_service_ = {};
        device_.disable_interrupts(InterruptKind::intx);
        interrupts_.clear();
    }
    device_.set_bus_master(false);
    if (failure)
        std::rethrow_exception(failure);
}

void Controller::tell(std::string_view text) const {
    if (options_.report)
        options_.report(text);
}

}  // namespace outboard::ide
