// Queue entries and the commands that are put into them (NVM Express Base Specification 2.0, 3.3.3 and 5; NVM
// Command Set Specification 1.0, 3.2). Pure.
#pragma once

#include "outboard/base/endian.hpp"

#include <cstddef>
#include <cstdint>

namespace outboard::nvme {

/// A submission queue entry (Base 3.3.3.1).
struct SubmissionEntry {
    Le32 dword0;  ///< opcode 7:0, fused 9:8, PRP or SGL 15:14 (0: PRP), command identifier 31:16
    Le32 namespace_id;
    Le64 reserved;
    Le64 metadata;
    Le64 prp1;
    Le64 prp2;
    Le32 dword10;
    Le32 dword11;
    Le32 dword12;
    Le32 dword13;
    Le32 dword14;
    Le32 dword15;
};
static_assert(sizeof(SubmissionEntry) == 64 && offsetof(SubmissionEntry, prp1) == 24 &&
              offsetof(SubmissionEntry, dword10) == 40);
inline constexpr unsigned submission_entry_size_log2 = 6;

/// A completion queue entry (Base 3.3.3.2). Its second half is read in one access: it holds the phase.
struct CompletionEntry {
    Le32 result;  ///< command specific
    Le32 reserved;
    /// Submission queue head 15:0, submission queue 31:16, command identifier 47:32, phase 48, status 63:49
    std::uint64_t ending;
};
static_assert(sizeof(CompletionEntry) == 16 && offsetof(CompletionEntry, ending) == 8);
inline constexpr unsigned completion_entry_size_log2 = 4;

/// An LBA range of Dataset Management (NVM 3.2.3.1).
struct DatasetRange {
    Le32 attributes;
    Le32 blocks;
    Le64 first;
};
static_assert(sizeof(DatasetRange) == 16);

enum class AdminOpcode : std::uint8_t {
    delete_submission_queue = 0x00,
    create_submission_queue = 0x01,
    get_log_page = 0x02,
    delete_completion_queue = 0x04,
    create_completion_queue = 0x05,
    identify = 0x06,
    abort = 0x08,
    set_features = 0x09,
    get_features = 0x0a,
    asynchronous_event_request = 0x0c,
    doorbell_buffer_config = 0x7c,
};

enum class IoOpcode : std::uint8_t {
    flush = 0x00,
    write = 0x01,
    read = 0x02,
    write_zeroes = 0x08,
    dataset_management = 0x09,
};

/// CNS of Identify (Base 5.17).
enum class IdentifyWhat : std::uint8_t { name_space = 0, controller = 1, active_namespaces = 2 };

enum class Feature : std::uint8_t {
    volatile_write_cache = 0x06,
    number_of_queues = 0x07,
    asynchronous_events = 0x0b,
};

enum class LogPage : std::uint8_t { errors = 0x01, health = 0x02, changed_namespaces = 0x04 };

inline constexpr std::uint32_t all_namespaces = 0xffffffff;
inline constexpr std::uint32_t force_unit_access_bit = 1U << 30;  ///< dword 12 of Write
inline constexpr std::uint32_t deallocate_bit = 1U << 2;          ///< dword 11 of Dataset Management

namespace detail {

constexpr SubmissionEntry admin(AdminOpcode opcode) {
    SubmissionEntry entry{};
    entry.dword0 = static_cast<std::uint32_t>(opcode);
    return entry;
}

}  // namespace detail

// What each does is in the specification; addresses are IOVAs, sizes of queues in entries.

constexpr SubmissionEntry identify(IdentifyWhat what, std::uint32_t namespace_id, std::uint64_t page) {
    SubmissionEntry entry = detail::admin(AdminOpcode::identify);
    entry.namespace_id = namespace_id;
    entry.prp1 = page;
    entry.dword10 = static_cast<std::uint32_t>(what);
    return entry;
}

/// With `vector` it interrupts, without it does not.
constexpr SubmissionEntry create_completion_queue(std::uint16_t id, std::uint32_t entries, std::uint64_t base,
                                                  const std::uint16_t* vector) {
    constexpr std::uint32_t contiguous = 1;
    constexpr std::uint32_t interrupts = 2;
    SubmissionEntry entry = detail::admin(AdminOpcode::create_completion_queue);
    entry.prp1 = base;
    entry.dword10 = (entries - 1) << 16 | id;
    entry.dword11 = contiguous | (vector ? interrupts | std::uint32_t{*vector} << 16 : 0);
    return entry;
}

/// Its completions go to the completion queue of the same number.
constexpr SubmissionEntry create_submission_queue(std::uint16_t id, std::uint32_t entries,
                                                  std::uint64_t base) {
    constexpr std::uint32_t contiguous = 1;
    SubmissionEntry entry = detail::admin(AdminOpcode::create_submission_queue);
    entry.prp1 = base;
    entry.dword10 = (entries - 1) << 16 | id;
    entry.dword11 = contiguous | std::uint32_t{id} << 16;
    return entry;
}

constexpr SubmissionEntry delete_queue(AdminOpcode which, std::uint16_t id) {
    SubmissionEntry entry = detail::admin(which);
    entry.dword10 = std::uint32_t{id};
    return entry;
}

constexpr SubmissionEntry set_features(Feature feature, std::uint32_t value) {
    SubmissionEntry entry = detail::admin(AdminOpcode::set_features);
    entry.dword10 = static_cast<std::uint32_t>(feature);
    entry.dword11 = value;
    return entry;
}

/// Its current value.
constexpr SubmissionEntry get_features(Feature feature) {
    SubmissionEntry entry = detail::admin(AdminOpcode::get_features);
    entry.dword10 = static_cast<std::uint32_t>(feature);
    return entry;
}

/// `bytes`: a multiple of 4, at most a page.
constexpr SubmissionEntry get_log_page(LogPage log, std::uint32_t bytes, std::uint64_t page) {
    SubmissionEntry entry = detail::admin(AdminOpcode::get_log_page);
    entry.namespace_id = all_namespaces;
    entry.prp1 = page;
    entry.dword10 = (bytes / 4 - 1) << 16 | static_cast<std::uint32_t>(log);
    return entry;
}

constexpr SubmissionEntry abort_command(std::uint16_t queue, std::uint16_t identifier) {
    SubmissionEntry entry = detail::admin(AdminOpcode::abort);
    entry.dword10 = std::uint32_t{identifier} << 16 | queue;
    return entry;
}

constexpr SubmissionEntry asynchronous_event_request() {
    return detail::admin(AdminOpcode::asynchronous_event_request);
}

constexpr SubmissionEntry doorbell_buffer_config(std::uint64_t shadows, std::uint64_t event_indexes) {
    SubmissionEntry entry = detail::admin(AdminOpcode::doorbell_buffer_config);
    entry.prp1 = shadows;
    entry.prp2 = event_indexes;
    return entry;
}

}  // namespace outboard::nvme
