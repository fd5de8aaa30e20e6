#include "outboard/sim/models/edu.hpp"

#include <span>

namespace outboard::sim {

namespace {

using namespace std::chrono_literals;

// Registers in BAR 0 ("MMIO area spec"); up to the first of the DMA registers they are 4 bytes wide, from
// there on 4 or 8.
constexpr std::uint64_t identification = 0x00;
constexpr std::uint64_t liveness = 0x04;
constexpr std::uint64_t factorial = 0x08;
constexpr std::uint64_t status = 0x20;
constexpr std::uint64_t interrupt_status = 0x24;
constexpr std::uint64_t interrupt_raise = 0x60;
constexpr std::uint64_t interrupt_acknowledge = 0x64;
constexpr std::uint64_t dma_source = 0x80;
constexpr std::uint64_t dma_destination = 0x88;
constexpr std::uint64_t dma_count = 0x90;
constexpr std::uint64_t dma_command = 0x98;

constexpr std::uint32_t version_1_0 = 0x010000ed;
constexpr std::uint32_t status_computing = 0x01;
constexpr std::uint32_t status_interrupt = 0x80;
constexpr std::uint32_t factorial_cause = 0x001;
constexpr std::uint32_t dma_cause = 0x100;
constexpr std::uint64_t command_run = 1;
constexpr std::uint64_t command_to_memory = 2;
constexpr std::uint64_t command_interrupt = 4;

/// Where the DMA engine finds the buffer ("DMA controller").
constexpr std::uint64_t buffer_address = 0x40000;

constexpr std::uint64_t no_register = ~std::uint64_t{0};

bool width_allowed(std::uint64_t offset, unsigned width) noexcept {
    return width == 4 || (width == 8 && offset >= dma_source);
}

PciDescription pci_description() {
    PciDescription description{.name = "edu", .vendor = 0x1234, .device = 0x11e8};
    description.class_code = 0x00ff00;
    description.revision = 0x10;
    description.subsystem_vendor = 0x1af4;
    description.subsystem = 0x1100;
    description.bars[0] = {.kind = BarKind::memory32, .size = 1 << 20};
    description.interrupt_line = true;
    description.msi_vectors = 1;
    return description;
}

}  // namespace

EduModel::EduModel(const EduOptions& options) : PciModel(pci_description()), options_(options) {}

std::uint64_t EduModel::read(unsigned, std::uint64_t offset, unsigned width) {
    if (!width_allowed(offset, width))
        return no_register;
    switch (offset) {
        case identification:
            return version_1_0;
        case liveness:
            return state_.liveness;
        case factorial:
            return state_.factorial;
        case status:
            return (state_.computing ? status_computing : 0) |
                   (state_.interrupt_after_factorial ? status_interrupt : 0);
        case interrupt_status:
            return state_.causes;
        case dma_source:
            return state_.dma_source;
        case dma_destination:
            return state_.dma_destination;
        case dma_count:
            return state_.dma_count;
        case dma_command:
            return state_.dma_command;
        default:
            return no_register;
    }
}

void EduModel::write(unsigned, std::uint64_t offset, unsigned width, std::uint64_t value) {
    if (!width_allowed(offset, width))
        return;
    const auto low = static_cast<std::uint32_t>(value);
    const bool dma_idle = (state_.dma_command & command_run) == 0;
    switch (offset) {
        case liveness:
            state_.liveness = ~low;
            break;
        case factorial:
            if (!state_.computing)
                start_factorial(low);
            break;
        case status:
            state_.interrupt_after_factorial = (low & status_interrupt) != 0;
            break;
        case interrupt_raise:
            raise(low);
            break;
        case interrupt_acknowledge:
            acknowledge(low);
            break;
        case dma_source:
            state_.dma_source = dma_idle ? value : state_.dma_source;
            break;
        case dma_destination:
            state_.dma_destination = dma_idle ? value : state_.dma_destination;
            break;
        case dma_count:
            state_.dma_count = dma_idle ? value : state_.dma_count;
            break;
        case dma_command:
            if (dma_idle && (value & command_run) != 0)
                start_dma(value);
            break;
        default:
            break;
    }
}

// ---- interrupts ("IRQ controller") ----

void EduModel::raise(std::uint32_t causes) noexcept {
    state_.causes |= causes;
    if (state_.causes == 0)
        return;
    if (interrupts().messages_enabled())
        interrupts().notify();
    else
        interrupts().set_line(true);
}

void EduModel::acknowledge(std::uint32_t causes) noexcept {
    state_.causes &= ~causes;
    if (state_.causes == 0 && !interrupts().messages_enabled())
        interrupts().set_line(false);
}

void EduModel::end_later(Duration time, void (EduModel::*finish)() noexcept) {
    if (faults().strike(FaultKind::never_ready))
        return;
    if (const auto delay = faults().strike(FaultKind::completion_delay))
        time += std::chrono::microseconds(delay->delay_us);
    timers().after(time, [this, finish] { (this->*finish)(); });
}

// ---- factorials ----

void EduModel::start_factorial(std::uint32_t number) {
    if (faults().strike(FaultKind::doorbell_ignored))
        return;
    state_.factorial = number;
    state_.computing = true;
    end_later(options_.factorial_time, &EduModel::finish_factorial);
}

void EduModel::finish_factorial() noexcept {
    std::uint32_t product = 1;
    // 34! and all after it are multiples of 2^32.
    for (std::uint32_t n = state_.factorial; n > 0 && product != 0; --n)
        product = state_.factorial < 34 ? product * n : 0;
    state_.factorial = product;
    state_.computing = false;
    if (state_.interrupt_after_factorial)
        raise(factorial_cause);
}

// ---- DMA ----

void EduModel::start_dma(std::uint64_t command) {
    if (faults().strike(FaultKind::doorbell_ignored))
        return;
    state_.dma_command = command;
    end_later(options_.dma_time, &EduModel::finish_dma);
}

void EduModel::finish_dma() noexcept {
    const bool to_memory = (state_.dma_command & command_to_memory) != 0;
    const std::uint64_t place = (to_memory ? state_.dma_source : state_.dma_destination) - buffer_address;
    const std::uint64_t address =
        (to_memory ? state_.dma_destination : state_.dma_source) & options_.dma_mask;
    // What does not lie in the buffer is not transferred.
    if (place < state_.buffer.size() && state_.dma_count <= state_.buffer.size() - place) {
        const auto part = std::span(state_.buffer).subspan(place, state_.dma_count);
        if (to_memory)
            dma().write_data(address, part);
        else
            dma().read_data(address, part);
    }
    state_.dma_command &= ~command_run;
    if ((state_.dma_command & command_interrupt) != 0)
        raise(dma_cause);
}

// ---- the table of models ----

namespace {

constexpr std::array options{
    OptionDescription{.name = "dma-time", .value = "100ms", .help = "How long a DMA transfer takes"},
    OptionDescription{.name = "factorial-time", .value = "10us", .help = "How long a factorial takes"},
    OptionDescription{.name = "dma-mask", .value = "0xfffffff", .help = "Address bits of the DMA engine"}};

constexpr std::array faults{
    FaultKind::interrupt_drop,   FaultKind::interrupt_duplicate, FaultKind::interrupt_delay,
    FaultKind::completion_delay, FaultKind::dma_short,           FaultKind::dma_misplaced,
    FaultKind::data_stale,       FaultKind::data_torn,           FaultKind::all_ones,
    FaultKind::never_ready,      FaultKind::doorbell_ignored,    FaultKind::reset_failure};

std::unique_ptr<PciModel> make(const ModelOptions& values) {
    return std::make_unique<EduModel>(EduOptions{.dma_time = values.duration("dma-time"),
                                                 .factorial_time = values.duration("factorial-time"),
                                                 .dma_mask = values.number("dma-mask")});
}

}  // namespace

const ModelDescription edu_description{.name = "edu",
                                       .summary = "QEMU's teaching device (1234:11e8)",
                                       .options = options,
                                       .faults = faults,
                                       .make = make};

}  // namespace outboard::sim
