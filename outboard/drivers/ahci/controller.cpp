#include "outboard/drivers/ahci/controller.hpp"

#include "outboard/base/error.hpp"
#include "outboard/runtime/deadline.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <utility>

#include <fmt/format.h>
#include <sys/eventfd.h>

namespace outboard::ahci {

namespace {

using namespace std::chrono_literals;

/// Of a reset of the HBA (10.4.3), and of firmware that gives it up (10.6.3): at first, and when it is busy.
constexpr Duration hba_reset_limit = 1s;
constexpr Duration handoff_limit = 25ms;
constexpr Duration busy_handoff_limit = 2s;
/// How long the ports together wait for links that may come up.
constexpr Duration link_limit = 100ms;
constexpr Duration poll_interval = 1ms;

}  // namespace

Controller::Controller(Device& device, RunLoop& loop, DriverOptions options)
    : device_(device),
      loop_(loop),
      options_(std::move(options)),
      name_(device.name()),
      region_(device.region(RegionIndex::bar5)),
      registers_(region_.block<global_bytes>()),
      capabilities_(registers_.read<Capabilities>()),
      implemented_(registers_.read<PortsImplemented>().raw()),
      bell_(::eventfd(0, EFD_CLOEXEC)) {
    if (!bell_)
        throw_errno(errno, "create", "an eventfd for an AHCI controller");
    if (gone())
        refuse_device(name_, "its registers read as all ones: it was removed, or has no power");
    if (implemented_ == 0)
        refuse_device(name_, "it has no ports");
    if (options_.command_timeout)
        limits_.command = *options_.command_timeout;
    if (options_.reset_timeout)
        limits_.ready = *options_.reset_timeout;
}

Controller::~Controller() {
    if (at_rest_)
        return;
    // Nobody has shut it down: it may still write to memory that is free from here on.
    try {
        device_.set_bus_master(false);
    } catch (const outboard::Error&) {
        return;
    }
}

// ---- bringing up ----

Task<void> Controller::start() {
    Task<void> taking = take_from_firmware();
    co_await std::move(taking);
    Task<void> resetting = reset_hba();
    co_await std::move(resetting);
    device_.set_bus_master(true);
    choose_interrupts();
    make_ports();
    Task<void> linking = bring_up_link(link_limit, [](const Port&) { return true; });
    co_await std::move(linking);
    for (Place& place : places_) {
        try {
            Task<void> bringing = place.port->bring_up();
            co_await std::move(bringing);
        } catch (const outboard::Error& error) {
            if (gone())
                throw;
            // The other ports' disks are none the worse for it.
            tell(error.what());
            continue;
        }
        if (place.port->raised())
            place.disk = std::make_unique<Disk>(*place.port, device_.arena(), loop_);
        place.port->restart();
    }
    bell_watch_.emplace(loop_, bell_.get());
    attention_service_ = serve_attention();
    attention_service_.start();
    if (interrupts_.empty())
        co_return;
    interrupt_watch_.emplace(loop_, interrupts_.front().eventfd());
    interrupt_service_ = serve_interrupts();
    interrupt_service_.start();
    registers_.modify<GlobalControl>(
        [](Value<GlobalControl> value) { return value.with(GlobalControl::interrupt_enable); });
}

Task<void> Controller::take_from_firmware() {
    if (!registers_.read<Capabilities2>()[Capabilities2::handoff])
        co_return;
    registers_.modify<Handoff>([](Value<Handoff> value) { return value.with(Handoff::os_owned); });
    const auto given = [this] { return !registers_.read<Handoff>()[Handoff::firmware_owned]; };
    for (const Duration limit : {handoff_limit, busy_handoff_limit}) {
        const TimePoint end = Clock::now() + limit;
        while (!given() && Clock::now() < end)
            co_await loop_.sleep_for(poll_interval);
        if (given() || !registers_.read<Handoff>()[Handoff::firmware_busy])
            break;
    }
    // Firmware that does not answer has had its time (10.6.3): the reset takes the HBA from it.
    if (!given())
        tell(fmt::format("{}: the firmware does not give it up; it is taken", name_));
}

Task<void> Controller::reset_hba() {
    const auto enable = [](Value<GlobalControl> value) { return value.with(GlobalControl::ahci_enable); };
    registers_.modify<GlobalControl>(enable);
    registers_.modify<GlobalControl>(
        [](Value<GlobalControl> value) { return value.with(GlobalControl::reset); });
    const auto over = [this] {
        const auto control = registers_.read<GlobalControl>();
        return all_ones(control) || !control[GlobalControl::reset];
    };
    const std::string what = "end of the reset of " + name_;
    Task<void> waiting = wait_until(loop_, over, hba_reset_limit, poll_interval, what);
    co_await std::move(waiting);
    if (gone())
        throw outboard::Error({.kind = ErrorKind::io,
                               .action = "reset",
                               .subject = name_,
                               .cause = "its registers read as all ones: it was removed, or has no power",
                               .remedy = {}});
    registers_.modify<GlobalControl>(enable);
    // Firmware writes it once; there are HBAs that forget it with a reset.
    if (registers_.read<PortsImplemented>().raw() == 0)
        registers_.write(Value<PortsImplemented>(implemented_));
    registers_.write(Value<InterruptStatus>(0xffffffff));
}

void Controller::choose_interrupts() {
    if (options_.completion != CompletionMode::poll) {
        for (const InterruptKind kind : {InterruptKind::msix, InterruptKind::msi, InterruptKind::intx}) {
            if (device_.interrupt_count(kind) == 0)
                continue;
            interrupts_ = device_.enable_interrupts(kind);
            interrupt_kind_ = kind;
            return;
        }
    }
    device_.poll_only();
}

void Controller::make_ports() {
    PortOptions port_options{.slots = capabilities_[Capabilities::slots] + 1,
                             .queuing = capabilities_[Capabilities::queuing],
                             .address_limit = capabilities_[Capabilities::addresses_64]
                                                  ? ~std::uint64_t{0}
                                                  : std::uint64_t{1} << 32,
                             .interrupts = !interrupts_.empty(),
                             .adaptive = options_.completion == CompletionMode::adaptive,
                             .write_cache = options_.write_cache,
                             .limits = limits_};
    port_options.report = [this](std::string_view text) { tell(text); };
    port_options.call = [this] { ::eventfd_write(bell_.get(), 1); };
    for (unsigned number = 0; number < most_ports; ++number) {
        if ((implemented_ >> number & 1) == 0)
            continue;
        if (port_offset(number) + port_bytes > region_.size()) {
            tell(fmt::format("{}: port {} has no registers, it is left alone", name_, number));
            continue;
        }
        port_options.acknowledge = [this, number] {
            registers_.write(Value<InterruptStatus>(std::uint32_t{1} << number));
        };
        places_.push_back({.number = number,
                           .port = std::make_unique<Port>(
                               device_.arena(), loop_, region_.block<port_bytes>(port_offset(number)),
                               port_options, fmt::format("port {} of {}", number, name_)),
                           .disk = nullptr});
    }
}

/// Powers all disks, those with staggered spin-up one after the other, and waits for the links of those that
/// are expected.
Task<void> Controller::bring_up_link(Duration limit, bool (*expected)(const Port&)) {
    const bool staggered = capabilities_[Capabilities::staggered_spin_up];
    for (Place& place : places_) {
        place.port->prepare();
        if (staggered && expected(*place.port)) {
            Task<bool> waiting = place.port->wait_for_disk(limit);
            co_await std::move(waiting);
        }
    }
    if (staggered)
        co_return;
    const TimePoint end = Clock::now() + limit;
    const auto up = [expected](const Place& place) {
        return place.port->link_up() || !expected(*place.port);
    };
    while (!std::ranges::all_of(places_, up) && Clock::now() < end)
        co_await loop_.sleep_for(poll_interval);
}

// ---- interrupts ----

Task<void> Controller::serve_interrupts() {
    for (;;) {
        const int result = co_await interrupt_watch_->next();
        serve_ports();
        if (const int error = result < 0 ? -result : interrupts_.front().unmask(); error != 0) {
            tell(fmt::format("{}: its interrupt cannot be used any more ({}), completions are polled for",
                             name_, errno_text(error)));
            break;
        }
    }
    use_interrupts(false);
}

void Controller::serve_ports() noexcept {
    const auto status = registers_.read<InterruptStatus>();
    if (status.raw() == 0 || all_ones(status))
        return;
    for (const Place& place : places_) {
        if ((status.raw() >> place.number & 1) != 0)
            place.port->on_interrupt();
    }
    // After the ports (10.7.2): a bit whose port is not quiet yet rises again, and with it the interrupt.
    registers_.write(status);
}

void Controller::use_interrupts(bool on) noexcept {
    for (const Place& place : places_)
        place.port->use_interrupts(on);
}

std::vector<BlockDevice*> Controller::block_devices() {
    std::vector<BlockDevice*> devices;
    for (const Place& place : places_) {
        if (place.disk)
            devices.push_back(place.disk.get());
    }
    return devices;
}

Task<void> Controller::shut_down() {
    std::exception_ptr failure;
    // What was written is flushed when the disks work again, not left behind.
    try {
        const std::string what = fmt::format("the end of what is put right on {}", name_);
        Task<void> waiting = wait_until(
            loop_,
            [this] {
                return lost_ || (!attending_ && std::ranges::none_of(places_, [](const Place& place) {
                           return place.port->wants_attention();
                       }));
            },
            limits_.ready + limits_.command, 1ms, what);
        co_await std::move(waiting);
    } catch (const outboard::Error&) {
        failure = std::current_exception();
    }
    attention_service_ = {};
    interrupt_service_ = {};
    bell_watch_.reset();
    interrupt_watch_.reset();
    if (!lost_) {
        registers_.modify<GlobalControl>(
            [](Value<GlobalControl> value) { return value.with(GlobalControl::interrupt_enable, false); });
        for (const Place& place : places_) {
            try {
                Task<void> shutting = place.port->shut_down();
                co_await std::move(shutting);
            } catch (const outboard::Error&) {
                failure = std::current_exception();
            }
        }
    }
    if (interrupt_kind_) {
        device_.disable_interrupts(*interrupt_kind_);
        interrupts_.clear();
    }
    device_.set_bus_master(false);
    at_rest_ = true;
    if (failure)
        std::rethrow_exception(failure);
}

void Controller::tell(std::string_view text) const noexcept {
    try {
        if (options_.report)
            options_.report(text);
    } catch (const std::exception&) {
        // A listener that fails must not take the disks with it.
        return;
    }
}

}  // namespace outboard::ahci
