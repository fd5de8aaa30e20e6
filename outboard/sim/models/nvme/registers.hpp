// Registers of an NVMe controller (NVM Express base specification 1.4, 3.1), as the controller's side sees
// them.
#pragma once

#include "outboard/base/registers.hpp"

#include <cstdint>

namespace outboard::sim::nvme {

/// Controller Capabilities (3.1.1).
struct Capabilities : Register<Capabilities, std::uint64_t, 0x00, Access::read_only> {
    static constexpr Field<Capabilities, 0, 16, unsigned> max_queue_entries{};  ///< MQES: one less
    static constexpr Bit<Capabilities, 16> contiguous_queues{};                 ///< CQR
    static constexpr Field<Capabilities, 24, 8, unsigned> timeout{};            ///< TO, in 500 ms
    static constexpr Field<Capabilities, 32, 4, unsigned> doorbell_stride{};    ///< DSTRD: 4 << it bytes
    static constexpr Bit<Capabilities, 36> subsystem_reset{};                   ///< NSSRS
    static constexpr Bit<Capabilities, 37> nvm_command_set{};                   ///< CSS bit 0
    static constexpr Field<Capabilities, 48, 4, unsigned> min_page{};           ///< MPSMIN: 4096 << it bytes
    static constexpr Field<Capabilities, 52, 4, unsigned> max_page{};           ///< MPSMAX
};

/// Version (3.1.2).
struct Version : Register<Version, std::uint32_t, 0x08, Access::read_only> {};
inline constexpr std::uint32_t version_1_4 = 0x00010400;

/// Interrupt Mask Set and Interrupt Mask Clear (3.1.3, 3.1.4): a bit a vector, not for MSI-X.
struct InterruptMaskSet : Register<InterruptMaskSet, std::uint32_t, 0x0c, Access::read_write> {};
struct InterruptMaskClear : Register<InterruptMaskClear, std::uint32_t, 0x10, Access::read_write> {};

enum class ShutdownRequest : unsigned { none, normal, abrupt, reserved };

/// Controller Configuration (3.1.5).
struct Configuration : Register<Configuration, std::uint32_t, 0x14, Access::read_write> {
    static constexpr Bit<Configuration, 0> enable{};                           ///< EN
    static constexpr Field<Configuration, 4, 3, unsigned> command_set{};       ///< CSS: 0 is NVM
    static constexpr Field<Configuration, 7, 4, unsigned> page_size{};         ///< MPS: 4096 << it bytes
    static constexpr Field<Configuration, 11, 3, unsigned> arbitration{};      ///< AMS: 0 is round robin
    static constexpr Field<Configuration, 14, 2, ShutdownRequest> shutdown{};  ///< SHN
    static constexpr Field<Configuration, 16, 4, unsigned> submission_size{};  ///< IOSQES: 2^n bytes
    static constexpr Field<Configuration, 20, 4, unsigned> completion_size{};  ///< IOCQES: 2^n bytes
};

enum class ShutdownStatus : unsigned { none, occurring, complete };

/// Controller Status (3.1.6).
struct Status : Register<Status, std::uint32_t, 0x1c, Access::read_write> {
    static constexpr Bit<Status, 0> ready{};                          ///< RDY
    static constexpr Bit<Status, 1> fatal{};                          ///< CFS
    static constexpr Field<Status, 2, 2, ShutdownStatus> shutdown{};  ///< SHST
    static constexpr Bit<Status, 4> subsystem_reset_occurred{};       ///< NSSRO
    static constexpr Raw write_one_to_clear = 0x10;
};

/// NVM Subsystem Reset (3.1.7): takes effect when "NVMe" is written.
struct SubsystemReset : Register<SubsystemReset, std::uint32_t, 0x20, Access::read_write> {
    static constexpr Raw magic = 0x4e564d65;
};

/// Admin Queue Attributes (3.1.8): sizes in entries, one less.
struct AdminQueueAttributes : Register<AdminQueueAttributes, std::uint32_t, 0x24, Access::read_write> {
    static constexpr Field<AdminQueueAttributes, 0, 12, unsigned> submission_entries{};   ///< ASQS
    static constexpr Field<AdminQueueAttributes, 16, 12, unsigned> completion_entries{};  ///< ACQS
    static constexpr Raw writable = 0x0fff0fff;
};

/// Admin Submission Queue and Admin Completion Queue Base Address (3.1.9, 3.1.10).
struct AdminSubmissionQueue : Register<AdminSubmissionQueue, std::uint64_t, 0x28, Access::read_write> {
    static constexpr Raw writable = ~Raw{0xfff};
};
struct AdminCompletionQueue : Register<AdminCompletionQueue, std::uint64_t, 0x30, Access::read_write> {
    static constexpr Raw writable = ~Raw{0xfff};
};

/// Where the doorbells begin (3.1.24, 3.1.25): tail of submission queue 0, head of completion queue 0, tail
/// of submission queue 1, …
inline constexpr std::uint64_t doorbell_offset = 0x1000;

}  // namespace outboard::sim::nvme
