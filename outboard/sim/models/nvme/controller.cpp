#include "outboard/sim/models/nvme/controller.hpp"

#include "outboard/sim/models/nvme/identify.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace outboard::sim::nvme {

namespace {

constexpr std::uint64_t page = 4096;
constexpr unsigned msix_bar = 4;

/// Commands fetched from one queue before the others get their turn, and completions posted together.
constexpr unsigned batch = 32;

std::uint64_t doorbell_area(const Options& options) noexcept {
    return (doorbell_bytes(options) + page - 1) / page * page;
}

PciDescription pci_description(const Options& options) {
    check(options);
    const unsigned vectors = options.queue_pairs + 1;
    const std::uint64_t area = doorbell_area(options);
    PciDescription description{.name = "nvme", .vendor = vendor_id, .device = device_id};
    description.class_code = 0x010802;
    description.subsystem_vendor = vendor_id;
    description.subsystem = device_id;
    description.bars[0] = {.kind = BarKind::memory64,
                           .size = std::bit_ceil(doorbell_offset + area),
                           .shared = {{.offset = doorbell_offset, .size = area}}};
    description.bars[msix_bar] = {.kind = BarKind::memory32, .size = 2 * page};
    description.interrupt_line = true;
    description.msi_vectors = std::min(std::bit_ceil(vectors), 32U);
    description.msix = {.vectors = vectors,
                        .table_bar = msix_bar,
                        .table_offset = 0,
                        .pending_bar = msix_bar,
                        .pending_offset = page};
    description.power_management = true;
    description.pci_express = true;
    return description;
}

/// The same command would fail again.
bool is_final(StatusCode status) noexcept {
    switch (status) {
        case StatusCode::data_transfer_error:
        case StatusCode::internal_error:
        case StatusCode::abort_requested:
        case StatusCode::aborted_queue_deletion:
        case StatusCode::async_event_limit_exceeded:
        case StatusCode::write_fault:
        case StatusCode::unrecovered_read_error:
            return false;
        default:
            return true;
    }
}

}  // namespace

Controller::Controller(const Options& options)
    : PciModel(pci_description(options)),
      state_(options, dma(), shared(0).subspan(doorbell_offset, doorbell_area(options))),
      admin_(state_, *this),
      io_(state_.namespaces, state_.features, state_.transfer, state_.counters) {}

void Controller::cut_power(std::uint64_t seed) {
    for (std::uint32_t id = 1; id <= state_.namespaces.count(); ++id)
        state_.namespaces.find(id)->storage.cut_power(seed + id);
    if (status_[Status::shutdown] != ShutdownStatus::complete)
        ++state_.counters.unsafe_shutdowns;
    reset_device();
}

Polled Controller::poll() {
    if (!running())
        return Polled::asleep;
    take_heads();
    bool worked = false;
    // By index: admin commands change the set.
    for (std::size_t i = 0; i < state_.queues.submissions().size() && running(); ++i)
        worked |= serve(*state_.queues.submissions()[i]);
    worked |= finish_delayed();
    worked |= answer_events();
    if (!running())
        return Polled::asleep;
    if (!worked)
        look_around();
    idle_ = !worked;
    return worked ? Polled::worked : Polled::nothing;
}

// ---- doorbells ----

void Controller::doorbell_was_invalid(Event event) {
    state_.events.raise(event);
    constexpr std::uint16_t no_command = 0xffff;
    ErrorEntry entry{};
    entry.submission_queue = no_command;
    entry.identifier = no_command;
    entry.location = no_command;
    state_.errors.add(entry);
}

void Controller::take_heads() {
    bool moved = false;
    for (CompletionQueue* const queue : state_.queues.completions()) {
        switch (queue->take_head(state_.doorbells.read(2 * queue->id() + 1, dma()))) {
            case Rung::unchanged:
                break;
            case Rung::moved:
                moved = true;
                break;
            case Rung::invalid:
                doorbell_was_invalid(Event::invalid_doorbell_value);
                break;
        }
    }
    if (moved && interrupts().line())
        update_line();
}

/// What there is time for when no queue has work.
void Controller::look_around() {
    if (!idle_ && state_.doorbells.has_shadow()) {
        for (const SubmissionQueue* const queue : state_.queues.submissions())
            state_.doorbells.ask_to_ring(2 * queue->id(), queue->tail(), dma());
        for (const CompletionQueue* const queue : state_.queues.completions())
            state_.doorbells.ask_to_ring(2 * queue->id() + 1, queue->head(), dma());
    }
    const unsigned slot = next_unused_slot_++ % state_.doorbells.slots();
    const unsigned id = slot / 2;
    const bool used =
        slot % 2 == 0 ? state_.queues.submission(id) != nullptr : state_.queues.completion(id) != nullptr;
    if (!used && state_.doorbells.rung(slot) != 0) {
        state_.doorbells.clear(slot);
        doorbell_was_invalid(Event::invalid_doorbell_register);
    }
}

// ---- commands ----

/// Fetches what waits in a queue, as far as completions have room, and carries it out.
bool Controller::serve(SubmissionQueue& queue) {
    if (faults().may_strike() && misses_doorbell(queue)) [[unlikely]]
        return false;
    if (queue.take_tail(state_.doorbells.read(2 * queue.id(), dma())) == Rung::invalid)
        doorbell_was_invalid(Event::invalid_doorbell_value);
    const bool admin = queue.id() == 0;
    const bool delayed = !admin && state_.options.latency != Duration::zero();
    const unsigned room =
        delayed ? queue.entries() - static_cast<unsigned>(queue.delayed.size()) : queue.completions().room();
    // Admin commands come one by one: they may end other commands.
    const unsigned count = std::min({queue.waiting(), room, admin ? 1 : batch});
    if (count == 0)
        return false;
    const TimePoint due = delayed ? Clock::now() + state_.options.latency : TimePoint();
    std::array<CompletionEntry, batch> done;
    unsigned posted = 0;
    for (unsigned i = 0; i < count; ++i) {
        SubmissionEntry command;
        if (!queue.fetch(dma(), command)) {
            fail();
            break;
        }
        if (delayed) {
            queue.delayed.push_back({.due = due, .command = command});
            continue;
        }
        const Outcome outcome = execute(queue, command);
        if (outcome.answered)
            done[posted++] = completion(queue, command, outcome);
    }
    if (delayed)
        wake_at(due);
    post(queue.completions(), std::span(done).first(posted));
    return true;
}

Outcome Controller::execute(const SubmissionQueue& queue, const SubmissionEntry& command) {
    if (Outcome outcome; faults().may_strike() && strikes_command(queue, outcome)) [[unlikely]]
        return outcome;
    if (queue.id() == 0)
        return admin_.execute(command);
    return {.status = io_.execute(command)};
}

bool Controller::finish_delayed() {
    if (state_.options.latency == Duration::zero())
        return false;
    bool worked = false;
    const TimePoint now = Clock::now();
    for (SubmissionQueue* const queue : state_.queues.submissions())
        worked |= finish_delayed(*queue, now);
    return worked;
}

bool Controller::finish_delayed(SubmissionQueue& queue, TimePoint now) {
    const unsigned most = std::min(queue.completions().room(), batch);
    std::array<CompletionEntry, batch> done;
    unsigned posted = 0;
    while (posted < most && !queue.delayed.empty() && queue.delayed.front().due <= now) {
        const SubmissionEntry command = queue.delayed.front().command;
        queue.delayed.pop_front();
        done[posted++] = completion(queue, command, execute(queue, command));
    }
    if (!queue.delayed.empty())
        wake_at(queue.delayed.front().due);
    post(queue.completions(), std::span(done).first(posted));
    return posted != 0;
}

/// Has the server poll at that time.
void Controller::wake_at(TimePoint due) {
    if (wake_ && *wake_ <= due)
        return;
    wake_ = due;
    timers().at(due, [this] { wake_.reset(); });
}

bool Controller::answer_events() {
    CompletionQueue* const completions = state_.queues.completion(0);
    const SubmissionQueue* const queue = state_.queues.submission(0);
    if (completions == nullptr || queue == nullptr || completions->room() == 0)
        return false;
    const auto answer = state_.events.take();
    if (!answer)
        return false;
    SubmissionEntry request{};
    request.identifier = answer->identifier;
    const Outcome outcome = answer->event ? Outcome{.dword0 = std::to_underlying(*answer->event)}
                                          : Outcome{.status = StatusCode::abort_requested};
    CompletionEntry entry = completion(*queue, request, outcome);
    post(*completions, std::span(&entry, 1));
    return true;
}

void Controller::abort(SubmissionQueue& queue, const SubmissionEntry& command, StatusCode status) {
    if (queue.completions().room() == 0)
        return;
    CompletionEntry entry = completion(queue, command, {.status = status});
    post(queue.completions(), std::span(&entry, 1));
}

// ---- completions ----

CompletionEntry Controller::completion(const SubmissionQueue& queue, const SubmissionEntry& command,
                                       const Outcome& outcome) {
    CompletionEntry entry{};
    entry.dword0 = outcome.dword0;
    entry.submission_head = static_cast<std::uint16_t>(queue.head());
    entry.submission_queue = static_cast<std::uint16_t>(queue.id());
    entry.identifier = command.identifier;
    if (outcome.status != StatusCode::success) [[unlikely]] {
        const unsigned code = std::to_underlying(outcome.status) | more_information |
                              (is_final(outcome.status) ? do_not_retry : 0U);
        entry.status = static_cast<std::uint16_t>(code << 1);
        ErrorEntry error{};
        error.submission_queue = entry.submission_queue;
        error.identifier = entry.identifier;
        error.status = entry.status;
        error.location = 0xffff;
        error.block = command.dword10 | std::uint64_t{command.dword11} << 32;
        error.namespace_id = command.namespace_id;
        state_.errors.add(error);
    }
    return entry;
}

void Controller::post(CompletionQueue& queue, std::span<CompletionEntry> entries) {
    if (entries.empty())
        return;
    if (faults().may_strike()) [[unlikely]] {
        post_with_faults(queue, entries);
        return;
    }
    if (!queue.post(dma(), entries)) {
        fail();
        return;
    }
    announce(queue, static_cast<unsigned>(entries.size()));
}

}  // namespace outboard::sim::nvme
