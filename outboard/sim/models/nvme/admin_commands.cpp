#include "outboard/sim/models/nvme/admin_commands.hpp"

#include "outboard/base/bytes.hpp"
#include "outboard/sim/models/nvme/identify.hpp"

#include <algorithm>
#include <array>

namespace outboard::sim::nvme {

Outcome AdminCommands::execute(const SubmissionEntry& command) {
    if ((command.flags & (fused_mask | sgl_mask)) != 0)
        return {.status = StatusCode::invalid_field};
    switch (static_cast<AdminOpcode>(command.opcode)) {
        case AdminOpcode::delete_submission_queue:
            return delete_submission_queue(command);
        case AdminOpcode::create_submission_queue:
            return create_submission_queue(command);
        case AdminOpcode::get_log_page:
            return get_log_page(command);
        case AdminOpcode::delete_completion_queue:
            return delete_completion_queue(command);
        case AdminOpcode::create_completion_queue:
            return create_completion_queue(command);
        case AdminOpcode::identify:
            return identify(command);
        case AdminOpcode::abort:
            return abort(command);
        case AdminOpcode::set_features:
            return set_features(command);
        case AdminOpcode::get_features:
            return state_.features.get(command);
        case AdminOpcode::async_event_request:
            return add_event_request(command);
        case AdminOpcode::doorbell_buffer_config:
            return use_doorbell_buffers(command);
    }
    return {.status = StatusCode::invalid_opcode};
}

Outcome AdminCommands::send(const SubmissionEntry& command, std::span<const std::byte> data) {
    if (const StatusCode status = state_.transfer.begin(command, data.size()); status != StatusCode::success)
        return {.status = status};
    return {.status = state_.transfer.to_client(data)};
}

// ---- queues (5.3 to 5.6) ----

/// What holds for both kinds when they are made.
StatusCode AdminCommands::check_queue(const SubmissionEntry& command) const noexcept {
    const std::uint32_t size = command.dword10 >> 16;
    if (size == 0 || size >= state_.options.queue_entries || !host_.entry_sizes_are_set())
        return StatusCode::invalid_queue_size;
    if ((command.dword11 & queue_contiguous) == 0)  // CAP.CQR
        return StatusCode::invalid_field;
    if (command.prp1 % state_.transfer.page_size() != 0)
        return StatusCode::invalid_prp_offset;
    return StatusCode::success;
}

Outcome AdminCommands::create_completion_queue(const SubmissionEntry& command) {
    const std::uint32_t id = command.dword10 & 0xffff;
    if (id == 0 || id > state_.features.completion_queues() || state_.queues.completion(id) != nullptr)
        return {.status = StatusCode::invalid_queue_identifier};
    if (const StatusCode status = check_queue(command); status != StatusCode::success)
        return {.status = status};
    const std::uint32_t vector = command.dword11 >> 16;
    if (vector >= host_.interrupt_vectors())
        return {.status = StatusCode::invalid_interrupt_vector};
    CompletionQueue& queue = state_.queues.add_completion(
        {.id = id, .iova = command.prp1, .entries = (command.dword10 >> 16) + 1});
    queue.vector = vector;
    queue.interrupts = (command.dword11 & queue_interrupts) != 0;
    return {};
}

Outcome AdminCommands::create_submission_queue(const SubmissionEntry& command) {
    const std::uint32_t id = command.dword10 & 0xffff;
    const std::uint32_t completion_id = command.dword11 >> 16;
    if (id == 0 || id > state_.features.submission_queues() || state_.queues.submission(id) != nullptr ||
        completion_id == 0 || completion_id > state_.features.completion_queues())
        return {.status = StatusCode::invalid_queue_identifier};
    CompletionQueue* const completions = state_.queues.completion(completion_id);
    if (completions == nullptr)
        return {.status = StatusCode::invalid_completion_queue};
    if (const StatusCode status = check_queue(command); status != StatusCode::success)
        return {.status = status};
    state_.queues.add_submission({.id = id, .iova = command.prp1, .entries = (command.dword10 >> 16) + 1},
                                 *completions);
    return {};
}

Outcome AdminCommands::delete_completion_queue(const SubmissionEntry& command) {
    const std::uint32_t id = command.dword10 & 0xffff;
    const CompletionQueue* const queue = id != 0 ? state_.queues.completion(id) : nullptr;
    if (queue == nullptr)
        return {.status = StatusCode::invalid_queue_identifier};
    if (queue->submission_queues != 0)
        return {.status = StatusCode::invalid_queue_deletion};
    state_.queues.remove_completion(id);
    return {};
}

Outcome AdminCommands::delete_submission_queue(const SubmissionEntry& command) {
    const std::uint32_t id = command.dword10 & 0xffff;
    SubmissionQueue* const queue = id != 0 ? state_.queues.submission(id) : nullptr;
    if (queue == nullptr)
        return {.status = StatusCode::invalid_queue_identifier};
    for (const DelayedCommand& delayed : queue->delayed)
        host_.abort(*queue, delayed.command, StatusCode::aborted_queue_deletion);
    state_.queues.remove_submission(id);
    return {};
}

// ---- what the controller says (5.14, 5.15) ----

Outcome AdminCommands::get_log_page(const SubmissionEntry& command) {
    const std::uint64_t bytes =
        (std::uint64_t{command.dword10 >> 16 | (command.dword11 & 0xffff) << 16} + 1) * 4;
    const std::uint64_t offset = command.dword12 | std::uint64_t{command.dword13} << 32;
    const auto page = static_cast<LogPage>(command.dword10 & 0xff);
    const HealthLog health =
        make_health_log(state_.counters, state_.errors, state_.features.temperature_warning());
    const FirmwareLog firmware = make_firmware_log();
    std::span<const std::byte> content;
    switch (page) {
        case LogPage::errors:
            content = std::as_bytes(std::span(state_.errors.entries()));
            break;
        case LogPage::health:
            content = bytes_of(health);
            break;
        case LogPage::firmware:
            content = bytes_of(firmware);
            break;
        default:
            return {.status = StatusCode::invalid_log_page};
    }
    if (command.namespace_id != 0 && command.namespace_id != all_namespaces)
        return {.status = StatusCode::invalid_field};  // there are none of a namespace's own
    if (bytes > state_.transfer.max_bytes() || offset % 4 != 0 || offset > content.size())
        return {.status = StatusCode::invalid_field};
    const auto buffer = state_.transfer.buffer(bytes);
    std::ranges::fill(buffer, std::byte{0});
    content = content.subspan(offset, std::min<std::uint64_t>(bytes, content.size() - offset));
    std::ranges::copy(content, buffer.begin());
    const Outcome outcome = send(command, buffer);
    if (outcome.status == StatusCode::success && (command.dword10 & retain_event) == 0)
        state_.events.log_was_read(page);
    return outcome;
}

Outcome AdminCommands::identify(const SubmissionEntry& command) {
    const Namespace* const name_space = state_.namespaces.find(command.namespace_id);
    switch (static_cast<IdentifyWhat>(command.dword10 & 0xff)) {
        case IdentifyWhat::controller:
            return send(command, bytes_of(make_controller_data(state_.options, state_.namespaces)));
        case IdentifyWhat::name_space:
            if (name_space == nullptr)
                return {.status = StatusCode::invalid_namespace};
            return send(command,
                        bytes_of(make_namespace_data(*name_space, state_.options, command.namespace_id)));
        case IdentifyWhat::active_namespaces:
            if (command.namespace_id >= all_namespaces - 1)
                return {.status = StatusCode::invalid_namespace};
            return send(command, make_namespace_list(state_.namespaces, command.namespace_id));
        case IdentifyWhat::namespace_descriptors:
            if (name_space == nullptr)
                return {.status = StatusCode::invalid_namespace};
            return send(command, make_namespace_descriptors(
                                     make_namespace_data(*name_space, state_.options, command.namespace_id)));
    }
    return {.status = StatusCode::invalid_field};
}

// ---- the rest ----

Outcome AdminCommands::abort(const SubmissionEntry& command) {
    constexpr Outcome not_aborted{.dword0 = 1};
    const std::uint32_t queue_id = command.dword10 & 0xffff;
    const auto identifier = static_cast<std::uint16_t>(command.dword10 >> 16);
    if (queue_id == 0)
        return state_.events.abort_request(identifier) ? Outcome{} : not_aborted;
    SubmissionQueue* const queue = state_.queues.submission(queue_id);
    if (queue == nullptr || queue->completions().room() == 0)
        return not_aborted;
    const auto found = std::ranges::find_if(queue->delayed, [identifier](const DelayedCommand& delayed) {
        return delayed.command.identifier == identifier;
    });
    if (found == queue->delayed.end())
        return not_aborted;
    const SubmissionEntry aborted = found->command;
    queue->delayed.erase(found);
    host_.abort(*queue, aborted, StatusCode::abort_requested);
    return {};
}

Outcome AdminCommands::set_features(const SubmissionEntry& command) {
    const Outcome outcome = state_.features.set(command, state_.queues.has_io_queues());
    if (state_.features.temperature_warning() &&
        (state_.features.wanted_warnings() & warning_temperature_bit) != 0)
        state_.events.raise(Event::temperature);
    return outcome;
}

Outcome AdminCommands::add_event_request(const SubmissionEntry& command) {
    if (!state_.events.add_request(command.identifier))
        return {.status = StatusCode::async_event_limit_exceeded};
    return {.answered = false};
}

Outcome AdminCommands::use_doorbell_buffers(const SubmissionEntry& command) {
    if (!offers_shadow_doorbells(state_.options))
        return {.status = StatusCode::invalid_opcode};
    const std::uint64_t page_size = state_.transfer.page_size();
    if (command.prp1 % page_size != 0 || command.prp2 % page_size != 0)
        return {.status = StatusCode::invalid_field};
    state_.doorbells.use_shadow(command.prp1, command.prp2, page_size);
    state_.queues.begin_shadow();
    return {};
}

}  // namespace outboard::sim::nvme
