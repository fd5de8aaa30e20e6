#include "outboard/sim/models/nvme/controller.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace outboard::sim::nvme {

namespace {

using namespace std::chrono_literals;

constexpr unsigned largest_page = 4;  // 64 KiB
constexpr unsigned submission_entry_shift = 6;
constexpr unsigned completion_entry_shift = 4;
constexpr unsigned smallest_page_shift = 12;

Value<Capabilities> capabilities(const Options& options) noexcept {
    // At least what was chosen, in units of 500 ms, and never none.
    const Duration longest = std::max(options.ready_time, options.shutdown_time);
    const auto units = std::min<std::int64_t>(longest / 500ms + 2, 255);
    return Value<Capabilities>()
        .with(Capabilities::max_queue_entries, options.queue_entries - 1)
        .with(Capabilities::contiguous_queues)
        .with(Capabilities::timeout, static_cast<unsigned>(units))
        .with(Capabilities::doorbell_stride, options.doorbell_stride)
        .with(Capabilities::subsystem_reset)
        .with(Capabilities::nvm_command_set)
        .with(Capabilities::max_page, largest_page);
}

void put_low(std::uint64_t& value, std::uint32_t low) noexcept {
    value = (value & ~std::uint64_t{0xffffffff}) | low;
}

void put_high(std::uint64_t& value, std::uint32_t high) noexcept {
    value = (value & 0xffffffff) | std::uint64_t{high} << 32;
}

}  // namespace

// ---- accesses ----

std::uint64_t Controller::read(unsigned bar, std::uint64_t offset, unsigned width) {
    if (bar != 0)
        return 0;
    if (width == 8)
        return load(offset) | std::uint64_t{load(offset + 4)} << 32;
    return std::uint64_t{load(offset & ~std::uint64_t{3})} >> (8 * (offset & 3));
}

void Controller::write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) {
    // Narrower accesses are not defined (3.1).
    if (bar != 0 || width < 4)
        return;
    store(offset, static_cast<std::uint32_t>(value));
    if (width == 8)
        store(offset + 4, static_cast<std::uint32_t>(value >> 32));
}

std::uint32_t Controller::load(std::uint64_t offset) const noexcept {
    switch (offset) {
        case Capabilities::offset:
            return static_cast<std::uint32_t>(capabilities(state_.options).raw());
        case Capabilities::offset + 4:
            return static_cast<std::uint32_t>(capabilities(state_.options).raw() >> 32);
        case Version::offset:
            return version_1_4;
        case InterruptMaskSet::offset:
        case InterruptMaskClear::offset:
            return interrupt_mask_;
        case Configuration::offset:
            return configuration_.raw();
        case Status::offset:
            return status_.raw();
        case AdminQueueAttributes::offset:
            return admin_attributes_;
        case AdminSubmissionQueue::offset:
            return static_cast<std::uint32_t>(admin_submission_);
        case AdminSubmissionQueue::offset + 4:
            return static_cast<std::uint32_t>(admin_submission_ >> 32);
        case AdminCompletionQueue::offset:
            return static_cast<std::uint32_t>(admin_completion_);
        case AdminCompletionQueue::offset + 4:
            return static_cast<std::uint32_t>(admin_completion_ >> 32);
        default:
            return 0;
    }
}

void Controller::store(std::uint64_t offset, std::uint32_t value) {
    switch (offset) {
        case InterruptMaskSet::offset:
            set_interrupt_mask(interrupt_mask_ | value);
            break;
        case InterruptMaskClear::offset:
            set_interrupt_mask(interrupt_mask_ & ~value);
            break;
        case Configuration::offset:
            configure(Value<Configuration>(value));
            break;
        case Status::offset:
            status_ = Value<Status>(status_.raw() & ~(value & Status::write_one_to_clear));
            break;
        case SubsystemReset::offset:
            if (value == SubsystemReset::magic) {
                reset_device();
                status_ = status_.with(Status::subsystem_reset_occurred);
            }
            break;
        case AdminQueueAttributes::offset:
            admin_attributes_ = value & AdminQueueAttributes::writable;
            break;
        case AdminSubmissionQueue::offset:
            put_low(admin_submission_, value & static_cast<std::uint32_t>(AdminSubmissionQueue::writable));
            break;
        case AdminSubmissionQueue::offset + 4:
            put_high(admin_submission_, value);
            break;
        case AdminCompletionQueue::offset:
            put_low(admin_completion_, value & static_cast<std::uint32_t>(AdminCompletionQueue::writable));
            break;
        case AdminCompletionQueue::offset + 4:
            put_high(admin_completion_, value);
            break;
        default:
            break;
    }
}

// ---- enable, disable, shut down, reset (3.1.5, 7.3, 7.6.2) ----

bool Controller::running() const noexcept {
    return status_[Status::ready] && configuration_[Configuration::enable] && !status_[Status::fatal] &&
           status_[Status::shutdown] != ShutdownStatus::complete && !hung_ && !removed();
}

bool Controller::entry_sizes_are_set() const noexcept {
    return configuration_[Configuration::submission_size] == submission_entry_shift &&
           configuration_[Configuration::completion_size] == completion_entry_shift;
}

void Controller::configure(Value<Configuration> value) {
    const Value<Configuration> before = configuration_;
    configuration_ = value;
    if (!before[Configuration::enable] && value[Configuration::enable])
        begin_enable();
    else if (before[Configuration::enable] && !value[Configuration::enable])
        disable();
    const ShutdownRequest request = value[Configuration::shutdown];
    if (request != before[Configuration::shutdown] &&
        (request == ShutdownRequest::normal || request == ShutdownRequest::abrupt))
        begin_shutdown(request);
}

void Controller::begin_enable() {
    timers().cancel(ready_timer_);
    status_ = status_.with(Status::ready, false);
    if (faults().strike(FaultKind::reset_failure))
        return;
    if (state_.options.ready_time == Duration::zero())
        finish_enable();
    else
        ready_timer_ = timers().after(state_.options.ready_time, [this] { finish_enable(); });
}

bool Controller::configuration_is_valid() const noexcept {
    const Value<AdminQueueAttributes> attributes(admin_attributes_);
    const unsigned page_size = configuration_[Configuration::page_size];
    const std::uint64_t page_mask = (std::uint64_t{1} << (smallest_page_shift + page_size)) - 1;
    return page_size <= largest_page && configuration_[Configuration::command_set] == 0 &&
           configuration_[Configuration::arbitration] == 0 &&
           attributes[AdminQueueAttributes::submission_entries] != 0 &&
           attributes[AdminQueueAttributes::completion_entries] != 0 &&
           ((admin_submission_ | admin_completion_) & page_mask) == 0;
}

void Controller::finish_enable() {
    if (!configuration_is_valid()) {
        fail();
        return;
    }
    const Value<AdminQueueAttributes> attributes(admin_attributes_);
    state_.transfer.set_page_size(std::uint64_t{1}
                                  << (smallest_page_shift + configuration_[Configuration::page_size]));
    CompletionQueue& completions =
        state_.queues.add_completion({.id = 0,
                                      .iova = admin_completion_,
                                      .entries = attributes[AdminQueueAttributes::completion_entries] + 1});
    state_.queues.add_submission({.id = 0,
                                  .iova = admin_submission_,
                                  .entries = attributes[AdminQueueAttributes::submission_entries] + 1},
                                 completions);
    status_ = status_.with(Status::ready);
}

/// A controller reset: everything but the admin queue registers.
void Controller::disable() {
    controller_reset();
    if (state_.options.ready_time == Duration::zero() || !status_[Status::ready])
        status_ = status_.with(Status::ready, false);
    else
        ready_timer_ = timers().after(state_.options.ready_time,
                                      [this] { status_ = status_.with(Status::ready, false); });
}

void Controller::controller_reset() {
    timers().clear();
    wake_.reset();
    interrupts().set_line(false);
    state_.queues.clear();
    state_.doorbells.drop_shadow();
    state_.events.reset();
    state_.features.reset();
    interrupt_mask_ = 0;
    idle_ = true;
    hung_ = false;
    status_ = status_.with(Status::fatal, false).with(Status::shutdown, ShutdownStatus::none);
}

void Controller::reset() {
    controller_reset();
    configuration_ = {};
    status_ = {};
    admin_attributes_ = 0;
    admin_submission_ = 0;
    admin_completion_ = 0;
}

void Controller::begin_shutdown(ShutdownRequest request) {
    status_ = status_.with(Status::shutdown, ShutdownStatus::occurring);
    const auto finish = [this, request] {
        if (request == ShutdownRequest::normal && !state_.namespaces.flush())
            fail();
        else
            status_ = status_.with(Status::shutdown, ShutdownStatus::complete);
    };
    if (state_.options.shutdown_time == Duration::zero())
        finish();
    else
        timers().after(state_.options.shutdown_time, finish);
}

/// The controller can do nothing any more until it is reset (CSTS.CFS).
void Controller::fail() noexcept {
    status_ = status_.with(Status::fatal);
}

}  // namespace outboard::sim::nvme
