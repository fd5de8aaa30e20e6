#include "outboard/sim/models/nvme/features.hpp"

#include <algorithm>

namespace outboard::sim::nvme {

namespace {

constexpr std::uint32_t recovery_writable = 0xffff;  // TLER; DULBE is not offered
constexpr std::uint32_t async_writable = 0xff;       // warnings of the health log
constexpr std::uint32_t only_composite = 0;
constexpr std::uint32_t all_sensors = 0xf;

/// Bits of Get Features' answer to what can be done with a feature (figure 176).
constexpr std::uint32_t capability_namespace = 1U << 1;
constexpr std::uint32_t capability_changeable = 1U << 2;

FeatureId feature_of(const SubmissionEntry& command) noexcept {
    return static_cast<FeatureId>(command.dword10 & 0xff);
}

}  // namespace

Features::Features(Namespaces& namespaces, unsigned queue_pairs, unsigned vectors)
    : namespaces_(namespaces), queue_pairs_(queue_pairs), vectors_(vectors) {
    reset();
}

void Features::reset() {
    arbitration_ = 0;
    over_ = warning_temperature;
    under_ = 0;
    write_cache_ = namespaces_.has_write_cache();
    submission_queues_ = completion_queues_ = queue_pairs_;
    coalescing_ = 0;
    std::ranges::fill(vectors_, 0);
    atomicity_ = 0;
    async_events_ = 0;
    for (std::uint32_t id = 1; id <= namespaces_.count(); ++id)
        namespaces_.find(id)->error_recovery = 0;
}

bool Features::temperature_warning() const noexcept {
    return temperature >= over_ || temperature <= under_;
}

// ---- Get Features ----

Outcome Features::get(const SubmissionEntry& command) const noexcept {
    const FeatureId feature = feature_of(command);
    switch (static_cast<FeatureSelect>(command.dword10 >> 8 & 7)) {
        case FeatureSelect::current:
            return current(command, feature);
        case FeatureSelect::original:
        case FeatureSelect::saved:  // where nothing is saved: the default (5.13)
            return original(command, feature);
        case FeatureSelect::capabilities: {
            Outcome outcome = current(command, feature);
            if (outcome.status == StatusCode::success)
                outcome.dword0 =
                    capability_changeable | (feature == FeatureId::error_recovery ? capability_namespace : 0);
            return outcome;
        }
    }
    return {.status = StatusCode::invalid_field};
}

Outcome Features::current(const SubmissionEntry& command, FeatureId feature) const noexcept {
    switch (feature) {
        case FeatureId::arbitration:
            return {.dword0 = arbitration_};
        case FeatureId::power_management:
            return {};
        case FeatureId::temperature_threshold:
            if ((command.dword11 >> 16 & 0xf) != only_composite)
                return {.status = StatusCode::invalid_field};
            return {.dword0 = (command.dword11 >> 20 & 3) == 0 ? over_ : under_};
        case FeatureId::error_recovery: {
            const Namespace* const name_space = namespaces_.find(command.namespace_id);
            if (name_space == nullptr)
                return {.status = StatusCode::invalid_namespace};
            return {.dword0 = name_space->error_recovery};
        }
        case FeatureId::volatile_write_cache:
            if (!namespaces_.has_write_cache())
                return {.status = StatusCode::invalid_field};
            return {.dword0 = write_cache_ ? 1U : 0U};
        case FeatureId::number_of_queues:
            return {.dword0 = (completion_queues_ - 1) << 16 | (submission_queues_ - 1)};
        case FeatureId::interrupt_coalescing:
            return {.dword0 = coalescing_};
        case FeatureId::interrupt_vector: {
            const std::uint32_t vector = command.dword11 & 0xffff;
            if (vector >= vectors_.size())
                return {.status = StatusCode::invalid_field};
            return {.dword0 = vectors_[vector] | vector};
        }
        case FeatureId::write_atomicity:
            return {.dword0 = atomicity_};
        case FeatureId::async_events:
            return {.dword0 = async_events_};
    }
    return {.status = StatusCode::invalid_field};
}

Outcome Features::original(const SubmissionEntry& command, FeatureId feature) const noexcept {
    Outcome outcome = current(command, feature);
    if (outcome.status != StatusCode::success)
        return outcome;
    switch (feature) {
        case FeatureId::temperature_threshold:
            outcome.dword0 = (command.dword11 >> 20 & 3) == 0 ? warning_temperature : 0;
            break;
        case FeatureId::volatile_write_cache:
            outcome.dword0 = 1;
            break;
        case FeatureId::number_of_queues:
            outcome.dword0 = (queue_pairs_ - 1) << 16 | (queue_pairs_ - 1);
            break;
        case FeatureId::interrupt_vector:
            outcome.dword0 = command.dword11 & 0xffff;
            break;
        default:
            outcome.dword0 = 0;
            break;
    }
    return outcome;
}

// ---- Set Features ----

Outcome Features::set(const SubmissionEntry& command, bool queues_exist) noexcept {
    const FeatureId feature = feature_of(command);
    const std::uint32_t value = command.dword11;
    if (const Outcome known = current(command, feature);
        known.status != StatusCode::success && feature != FeatureId::temperature_threshold &&
        !(feature == FeatureId::error_recovery && command.namespace_id == all_namespaces))
        return known;
    if ((command.dword10 & save_feature) != 0)
        return {.status = StatusCode::feature_not_saveable};
    if (command.namespace_id != 0 && command.namespace_id != all_namespaces &&
        feature != FeatureId::error_recovery)
        return {.status = StatusCode::feature_not_namespace_specific};
    switch (feature) {
        case FeatureId::arbitration:
            arbitration_ = value;
            break;
        case FeatureId::power_management:
            if ((value & 0x1f) != 0)  // there is power state 0 only
                return {.status = StatusCode::invalid_field};
            break;
        case FeatureId::temperature_threshold:
            return set_temperature(value);
        case FeatureId::error_recovery:
            return set_error_recovery(command);
        case FeatureId::volatile_write_cache:
            // What was cached is stable before the first write that bypasses the cache.
            if ((value & 1) == 0 && !namespaces_.flush())
                return {.status = StatusCode::write_fault};
            write_cache_ = (value & 1) != 0;
            break;
        case FeatureId::number_of_queues:
            return set_queues(value, queues_exist);
        case FeatureId::interrupt_coalescing:
            coalescing_ = value & 0xffff;
            break;
        case FeatureId::interrupt_vector:
            vectors_[value & 0xffff] = value & vector_immediate;
            break;
        case FeatureId::write_atomicity:
            atomicity_ = value & 1;
            break;
        case FeatureId::async_events:
            async_events_ = value & async_writable;
            break;
    }
    return {};
}

Outcome Features::set_temperature(std::uint32_t value) noexcept {
    const std::uint32_t sensor = value >> 16 & 0xf;
    const std::uint32_t which = value >> 20 & 3;
    if ((sensor != only_composite && sensor != all_sensors) || which > 1)
        return {.status = StatusCode::invalid_field};
    (which == 0 ? over_ : under_) = static_cast<std::uint16_t>(value);
    return {};
}

Outcome Features::set_error_recovery(const SubmissionEntry& command) noexcept {
    for (std::uint32_t id = 1; id <= namespaces_.count(); ++id)
        if (command.namespace_id == id || command.namespace_id == all_namespaces)
            namespaces_.find(id)->error_recovery = command.dword11 & recovery_writable;
    return {};
}

Outcome Features::set_queues(std::uint32_t value, bool queues_exist) noexcept {
    const std::uint32_t submission = value & 0xffff;
    const std::uint32_t completion = value >> 16;
    if (submission == 0xffff || completion == 0xffff)
        return {.status = StatusCode::invalid_field};
    if (queues_exist)
        return {.status = StatusCode::command_sequence_error};
    const unsigned granted = granted_;
    submission_queues_ = std::min(submission + 1, granted);
    completion_queues_ = std::min(completion + 1, granted);
    return {.dword0 = (completion_queues_ - 1) << 16 | (submission_queues_ - 1)};
}

}  // namespace outboard::sim::nvme
