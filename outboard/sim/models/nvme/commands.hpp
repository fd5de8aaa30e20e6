// Entries of the submission and completion queues, opcodes and status codes (NVM Express base specification
// 1.4, clauses 4 to 6).
#pragma once

#include "outboard/base/endian.hpp"

#include <cstddef>
#include <cstdint>

namespace outboard::sim::nvme {

/// A command (4.2, figure 105).
struct SubmissionEntry {
    std::uint8_t opcode;
    std::uint8_t flags;  ///< bits 1:0 FUSE, 7:6 PSDT
    Le16 identifier;     ///< CID
    Le32 namespace_id;
    Le32 dword2;
    Le32 dword3;
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
static_assert(sizeof(SubmissionEntry) == 64);
static_assert(offsetof(SubmissionEntry, metadata) == 16);
static_assert(offsetof(SubmissionEntry, prp1) == 24);
static_assert(offsetof(SubmissionEntry, dword10) == 40);

inline constexpr std::uint8_t fused_mask = 0x03;
inline constexpr std::uint8_t sgl_mask = 0xc0;

/// The namespace identifier that means all (6.1.1).
inline constexpr std::uint32_t all_namespaces = 0xffffffff;

/// The answer to a command (4.6, figure 122). The phase is bit 0 of `status`.
struct CompletionEntry {
    Le32 dword0;
    Le32 dword1;
    Le16 submission_head;
    Le16 submission_queue;
    Le16 identifier;
    Le16 status;
};
static_assert(sizeof(CompletionEntry) == 16);
static_assert(offsetof(CompletionEntry, submission_head) == 8);

/// Admin commands (5, figure 139).
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
    async_event_request = 0x0c,
    doorbell_buffer_config = 0x7c,
};

/// Commands of the NVM command set (6, figure 346).
enum class IoOpcode : std::uint8_t {
    flush = 0x00,
    write = 0x01,
    read = 0x02,
    compare = 0x05,
    write_zeroes = 0x08,
    dataset_management = 0x09,
};

/// Status code type and status code as bits 10:0 of the status field without its phase (4.6.1).
enum class StatusCode : std::uint16_t {
    // Generic (figure 126, 127).
    success = 0x000,
    invalid_opcode = 0x001,
    invalid_field = 0x002,
    data_transfer_error = 0x004,
    internal_error = 0x006,
    abort_requested = 0x007,
    aborted_queue_deletion = 0x008,
    invalid_namespace = 0x00b,
    command_sequence_error = 0x00c,
    invalid_prp_offset = 0x013,
    lba_out_of_range = 0x080,
    capacity_exceeded = 0x081,
    // Command specific (figure 128).
    invalid_completion_queue = 0x100,
    invalid_queue_identifier = 0x101,
    invalid_queue_size = 0x102,
    async_event_limit_exceeded = 0x105,
    invalid_interrupt_vector = 0x108,
    invalid_log_page = 0x109,
    invalid_queue_deletion = 0x10c,
    feature_not_saveable = 0x10d,
    feature_not_changeable = 0x10e,
    feature_not_namespace_specific = 0x10f,
    // Media and data integrity (figure 131).
    write_fault = 0x280,
    unrecovered_read_error = 0x281,
    compare_failure = 0x285,
};

/// The same command would fail again (4.6.1).
inline constexpr std::uint16_t do_not_retry = 1U << 14;
/// The error information log has an entry for this command.
inline constexpr std::uint16_t more_information = 1U << 13;

// ---- bits of commands ----

/// Create I/O Completion Queue, dword 11 (5.3).
inline constexpr std::uint32_t queue_contiguous = 1U << 0;
inline constexpr std::uint32_t queue_interrupts = 1U << 1;
/// Read, Write, …, dword 12 (6.9, 6.15).
inline constexpr std::uint32_t force_unit_access = 1U << 30;
/// Dataset Management, dword 11 (6.7).
inline constexpr std::uint32_t deallocate = 1U << 2;
/// Get Log Page, dword 10 (5.14): reading it does not allow further events.
inline constexpr std::uint32_t retain_event = 1U << 15;
/// Set Features, dword 10 (5.21).
inline constexpr std::uint32_t save_feature = 1U << 31;

/// A range of Dataset Management (6.7, figure 357).
struct DatasetRange {
    Le32 attributes;
    Le32 blocks;
    Le64 first;
};
static_assert(sizeof(DatasetRange) == 16);
inline constexpr std::size_t max_dataset_ranges = 256;

/// What Identify is asked for, CNS (5.15, figure 244).
enum class IdentifyWhat : std::uint8_t {
    name_space = 0x00,
    controller = 0x01,
    active_namespaces = 0x02,
    namespace_descriptors = 0x03,
};

/// Features (5.21.1, figure 271).
enum class FeatureId : std::uint8_t {
    arbitration = 0x01,
    power_management = 0x02,
    temperature_threshold = 0x04,
    error_recovery = 0x05,
    volatile_write_cache = 0x06,
    number_of_queues = 0x07,
    interrupt_coalescing = 0x08,
    interrupt_vector = 0x09,
    write_atomicity = 0x0a,
    async_events = 0x0b,
};

/// Which value Get Features gives, SEL (5.13, figure 175).
enum class FeatureSelect : unsigned { current, original, saved, capabilities };

/// Log pages (5.14.1, figure 191).
enum class LogPage : std::uint8_t { errors = 0x01, health = 0x02, firmware = 0x03 };

/// Asynchronous events: type in bits 2:0, information in 15:8, log page in 23:16 (5.2, figures 146 to 149).
enum class Event : std::uint32_t {
    invalid_doorbell_register = 0x010000,
    invalid_doorbell_value = 0x010100,
    temperature = 0x020101,
};

}  // namespace outboard::sim::nvme
