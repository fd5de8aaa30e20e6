// Registers of an NVMe controller in BAR 0 (NVM Express Base Specification 2.0, 3.1.3; PCIe Transport
// Specification 1.0, 3.1.2 for doorbells). Names are ours, the specification's mnemonics behind them.
#pragma once

#include "outboard/base/registers.hpp"

#include <cstddef>
#include <cstdint>

namespace outboard::nvme {

/// Bytes of BAR 0 before the doorbells.
inline constexpr std::size_t register_bytes = 0x1000;

/// Controller Capabilities, CAP (3.1.3.1).
struct Capabilities : Register<Capabilities, std::uint64_t, 0x00, Access::read_only> {
    /// MQES: entries of the longest I/O queue, less one.
    static constexpr Field<Capabilities, 0, 16, std::uint32_t> max_queue_entries{};
    /// TO: worst case of a change of CSTS.RDY, in units of 500 ms.
    static constexpr Field<Capabilities, 24, 8, unsigned> timeout{};
    /// DSTRD: a doorbell comes every 2^(2 + DSTRD) bytes.
    static constexpr Field<Capabilities, 32, 4, unsigned> doorbell_stride{};
    static constexpr Bit<Capabilities, 37> nvm_command_set{};  ///< CSS bit 0
    /// MPSMIN: the smallest memory page has 2^(12 + MPSMIN) bytes.
    static constexpr Field<Capabilities, 48, 4, unsigned> min_page_size{};
    /// CRMS.CRWMS: CRTO holds the time until ready.
    static constexpr Bit<Capabilities, 59> ready_with_media{};
};

/// Version, VS (3.1.3.2).
struct Version : Register<Version, std::uint32_t, 0x08, Access::read_only> {
    static constexpr Field<Version, 16, 16, unsigned> major{};
    static constexpr Field<Version, 8, 8, unsigned> minor{};
};

/// CC.SHN: what the host wants.
enum class ShutdownNotification : std::uint8_t { none = 0, normal = 1, abrupt = 2 };

/// Controller Configuration, CC (3.1.3.5).
struct Configuration : Register<Configuration, std::uint32_t, 0x14, Access::read_write> {
    static constexpr Bit<Configuration, 0> enable{};                                      ///< EN
    static constexpr Field<Configuration, 14, 2, ShutdownNotification> shutdown{};        ///< SHN
    static constexpr Field<Configuration, 16, 4, unsigned> submission_entry_size_log2{};  ///< IOSQES
    static constexpr Field<Configuration, 20, 4, unsigned> completion_entry_size_log2{};  ///< IOCQES
};

/// CSTS.SHST.
enum class ShutdownStatus : std::uint8_t { normal = 0, going_on = 1, complete = 2 };

/// Controller Status, CSTS (3.1.3.6).
struct ControllerStatus : Register<ControllerStatus, std::uint32_t, 0x1c, Access::read_only> {
    static constexpr Bit<ControllerStatus, 0> ready{};                          ///< RDY
    static constexpr Bit<ControllerStatus, 1> fatal{};                          ///< CFS
    static constexpr Field<ControllerStatus, 2, 2, ShutdownStatus> shutdown{};  ///< SHST
};

/// Admin Queue Attributes, AQA (3.1.3.8): entries of both admin queues, less one.
struct AdminQueueAttributes : Register<AdminQueueAttributes, std::uint32_t, 0x24, Access::read_write> {
    static constexpr Field<AdminQueueAttributes, 0, 12, unsigned> submission_entries{};   ///< ASQS
    static constexpr Field<AdminQueueAttributes, 16, 12, unsigned> completion_entries{};  ///< ACQS
};

/// Admin Submission Queue Base Address, ASQ (3.1.3.9).
struct AdminSubmissionQueue : Register<AdminSubmissionQueue, std::uint64_t, 0x28, Access::read_write> {};
/// Admin Completion Queue Base Address, ACQ (3.1.3.10).
struct AdminCompletionQueue : Register<AdminCompletionQueue, std::uint64_t, 0x30, Access::read_write> {};

/// Controller Ready Timeouts, CRTO (3.1.3.18).
struct ReadyTimeouts : Register<ReadyTimeouts, std::uint32_t, 0x68, Access::read_only> {
    /// CRWMT: until ready with media, in units of 500 ms.
    static constexpr Field<ReadyTimeouts, 0, 16, unsigned> with_media{};
};

/// A doorbell, in a block of its own: SQyTDBL and CQyHDBL.
struct DoorbellRegister : Register<DoorbellRegister, std::uint32_t, 0, Access::write_only> {};
inline constexpr std::size_t doorbell_bytes = 4;

/// Where doorbells lie in BAR 0, or in the shadow buffers less `register_bytes`: submission queue `queue`'s
/// tail, and its completion queue's head. `stride` is CAP.DSTRD.
constexpr std::uint64_t tail_doorbell(unsigned queue, unsigned stride) noexcept {
    return register_bytes + (std::uint64_t{queue} * 2) * (std::uint64_t{4} << stride);
}
constexpr std::uint64_t head_doorbell(unsigned queue, unsigned stride) noexcept {
    return register_bytes + (std::uint64_t{queue} * 2 + 1) * (std::uint64_t{4} << stride);
}

/// A controller that is gone reads as all ones.
constexpr bool all_ones(Value<ControllerStatus> status) noexcept {
    return status.raw() == ~std::uint32_t{0};
}

}  // namespace outboard::nvme
