// The kernel's interface to user-space block devices (ublk), up to kernel 7.3: facts of
// include/uapi/linux/ublk_cmd.h in our own types, because Debian 12's headers are older than ublk. Every size
// and offset is asserted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outboard::ublk {

// ---- features: bits of DeviceInfo::flags and of the answer to get_features ----

namespace feature {
inline constexpr std::uint64_t zero_copy = 1ULL << 0;
inline constexpr std::uint64_t complete_in_task = 1ULL << 1;
inline constexpr std::uint64_t need_get_data = 1ULL << 2;
inline constexpr std::uint64_t user_recovery = 1ULL << 3;  ///< the device outlives its server, I/O waits
inline constexpr std::uint64_t user_recovery_reissue =
    1ULL << 4;  ///< what the dead server had taken is sent again
inline constexpr std::uint64_t unprivileged_device = 1ULL << 5;
inline constexpr std::uint64_t ioctl_encoding = 1ULL << 6;  ///< commands are numbered as below
inline constexpr std::uint64_t user_copy = 1ULL << 7;
inline constexpr std::uint64_t zoned = 1ULL << 8;
inline constexpr std::uint64_t user_recovery_fail_io = 1ULL << 9;
inline constexpr std::uint64_t update_size = 1ULL << 10;
inline constexpr std::uint64_t auto_buffer_registration = 1ULL << 11;
inline constexpr std::uint64_t quiesce = 1ULL << 12;
inline constexpr std::uint64_t per_io_daemon = 1ULL << 13;
inline constexpr std::uint64_t buffer_registration_off_daemon = 1ULL << 14;
inline constexpr std::uint64_t batch_io = 1ULL << 15;
inline constexpr std::uint64_t integrity = 1ULL << 16;
inline constexpr std::uint64_t safe_stop = 1ULL << 17;
inline constexpr std::uint64_t no_partition_scan = 1ULL << 18;
inline constexpr std::uint64_t shared_memory_zero_copy = 1ULL << 19;
inline constexpr std::uint64_t descriptor_size = 1ULL << 20;
}  // namespace feature

// ---- control commands: 80 bytes of an io_uring command on /dev/ublk-control ----

/// The command as an io_uring command carries it.
struct ControlCommand {
    std::uint32_t device_id;    ///< which device; all ones asks `add` to choose
    std::uint16_t queue_id;     ///< all ones: not about a queue
    std::uint16_t length;       ///< bytes at `address`
    std::uint64_t address;      ///< a buffer of the command
    std::uint64_t data;         ///< an argument without a buffer
    std::uint16_t path_length;  ///< for unprivileged devices
    std::uint16_t padding;
    std::uint32_t reserved;
};
static_assert(sizeof(ControlCommand) == 32);
static_assert(offsetof(ControlCommand, address) == 8);
static_assert(offsetof(ControlCommand, data) == 16);
static_assert(offsetof(ControlCommand, path_length) == 24);

/// State of a device.
enum class DeviceState : std::uint16_t {
    dead = 0,      ///< has no disk: never started, or stopped
    live = 1,      ///< served
    quiesced = 2,  ///< its server is gone, I/O waits for the next one
    fail_io = 3,   ///< its server is gone, I/O fails
};

/// What a device is; in both directions with `add`.
struct DeviceInfo {
    std::uint16_t queues;
    std::uint16_t queue_depth;
    std::uint16_t state;  ///< a DeviceState
    std::uint16_t descriptor_size;
    std::uint32_t max_io_bytes;  ///< size of every request buffer
    std::uint32_t device_id;
    std::int32_t server_pid;
    std::uint32_t padding;
    std::uint64_t flags;         ///< feature bits
    std::uint64_t server_flags;  ///< the server's own; the kernel keeps them and does not look
    std::uint32_t owner_uid;
    std::uint32_t owner_gid;
    std::uint64_t reserved[2];
};
static_assert(sizeof(DeviceInfo) == 64);
static_assert(offsetof(DeviceInfo, state) == 4);
static_assert(offsetof(DeviceInfo, max_io_bytes) == 8);
static_assert(offsetof(DeviceInfo, server_pid) == 16);
static_assert(offsetof(DeviceInfo, flags) == 24);
static_assert(offsetof(DeviceInfo, server_flags) == 32);
static_assert(offsetof(DeviceInfo, owner_uid) == 40);

/// Bits of BasicParameters::attributes.
namespace attribute {
inline constexpr std::uint32_t read_only = 1U << 0;
inline constexpr std::uint32_t rotational = 1U << 1;
inline constexpr std::uint32_t volatile_cache = 1U << 2;
inline constexpr std::uint32_t force_unit_access = 1U << 3;
}  // namespace attribute

struct BasicParameters {
    std::uint32_t attributes;
    std::uint8_t logical_block_shift;
    std::uint8_t physical_block_shift;
    std::uint8_t io_opt_shift;
    std::uint8_t io_min_shift;
    std::uint32_t max_sectors;  ///< of 512 bytes, like all sectors here
    std::uint32_t chunk_sectors;
    std::uint64_t device_sectors;
    std::uint64_t virtual_boundary_mask;
};
static_assert(sizeof(BasicParameters) == 32);

struct DiscardParameters {
    std::uint32_t alignment;
    std::uint32_t granularity;
    std::uint32_t max_discard_sectors;
    std::uint32_t max_write_zeroes_sectors;
    std::uint16_t max_segments;  ///< the kernel takes 1 only
    std::uint16_t reserved;
};
static_assert(sizeof(DiscardParameters) == 20);

/// Filled in by the kernel for get_params; never set.
struct DeviceNumbers {
    std::uint32_t char_major;
    std::uint32_t char_minor;
    std::uint32_t disk_major;
    std::uint32_t disk_minor;
};
static_assert(sizeof(DeviceNumbers) == 16);

struct ZonedParameters {
    std::uint32_t max_open_zones;
    std::uint32_t max_active_zones;
    std::uint32_t max_append_sectors;
    std::uint8_t reserved[20];
};
static_assert(sizeof(ZonedParameters) == 32);

/// Since kernel 6.15. Alignment that direct I/O has to keep, as a mask of the low bits.
struct DmaParameters {
    std::uint32_t alignment_mask;
    std::uint8_t padding[4];
};
static_assert(sizeof(DmaParameters) == 8);

/// Since kernel 6.15.
struct SegmentParameters {
    std::uint64_t boundary_mask;
    std::uint32_t max_segment_bytes;
    std::uint16_t max_segments;
    std::uint8_t padding[2];
};
static_assert(sizeof(SegmentParameters) == 16);

struct IntegrityParameters {
    std::uint32_t flags;
    std::uint16_t max_segments;
    std::uint8_t interval_exponent;
    std::uint8_t metadata_size;
    std::uint8_t offset;
    std::uint8_t checksum_type;
    std::uint8_t tag_size;
    std::uint8_t padding[5];
};
static_assert(sizeof(IntegrityParameters) == 16);

/// Bits of Parameters::types: which parts are there. The kernel drops those it does not know.
namespace parameter {
inline constexpr std::uint32_t basic = 1U << 0;
inline constexpr std::uint32_t discard = 1U << 1;
inline constexpr std::uint32_t device_numbers = 1U << 2;
inline constexpr std::uint32_t zoned = 1U << 3;
inline constexpr std::uint32_t dma = 1U << 4;
inline constexpr std::uint32_t segment = 1U << 5;
inline constexpr std::uint32_t integrity = 1U << 6;
}  // namespace parameter

struct Parameters {
    std::uint32_t length;  ///< of the whole structure; an older kernel reads and writes less
    std::uint32_t types;
    BasicParameters basic;
    DiscardParameters discard;
    DeviceNumbers numbers;
    ZonedParameters zoned;
    DmaParameters dma;
    SegmentParameters segment;
    IntegrityParameters integrity;
};
static_assert(sizeof(Parameters) == 152);
static_assert(offsetof(Parameters, basic) == 8);
static_assert(offsetof(Parameters, discard) == 40);
static_assert(offsetof(Parameters, numbers) == 60);
static_assert(offsetof(Parameters, zoned) == 76);
static_assert(offsetof(Parameters, dma) == 108);
static_assert(offsetof(Parameters, segment) == 120);
static_assert(offsetof(Parameters, integrity) == 136);

// ---- requests: io_uring commands on /dev/ublkcN ----

/// Taking requests and handing in results.
struct IoCommand {
    std::uint16_t queue_id;
    std::uint16_t tag;
    std::int32_t result;    ///< with a commit: bytes, 0, or a negative errno value
    std::uint64_t address;  ///< of the buffer for the next request of this tag
};
static_assert(sizeof(IoCommand) == 16);
static_assert(offsetof(IoCommand, result) == 4);
static_assert(offsetof(IoCommand, address) == 8);

/// Taking requests and handing in results of many tags by one command, since kernel 7.0 (feature::batch_io).
/// The entry's `addr` is that of `elements` BatchElements; with fetch_batch, of nothing: what comes are tags
/// of 16 bits each in provided buffers.
struct BatchCommand {
    std::uint16_t queue_id;
    std::uint16_t flags;
    std::uint16_t elements;
    std::uint8_t element_bytes;
    std::uint8_t reserved;
    std::uint64_t reserved2;
};
static_assert(sizeof(BatchCommand) == 16);
static_assert(offsetof(BatchCommand, elements) == 4);
static_assert(offsetof(BatchCommand, element_bytes) == 6);

/// Flag of a BatchCommand: each element has the address of a buffer.
inline constexpr std::uint16_t batch_has_addresses = 1U << 1;

/// With batch_has_addresses, and without the features that make it longer.
struct BatchElement {
    std::uint16_t tag;
    std::uint16_t buffer_index;
    std::int32_t result;    ///< as in IoCommand
    std::uint64_t address;  ///< likewise
};
static_assert(sizeof(BatchElement) == 16);
static_assert(offsetof(BatchElement, result) == 4);
static_assert(offsetof(BatchElement, address) == 8);

/// Flag of the submission entry of fetch_batch, since kernel 6.18 (IORING_URING_CMD_MULTISHOT).
inline constexpr std::uint32_t command_multishot = 1U << 1;

/// One request; lies at index `tag` of the memory mapped from /dev/ublkcN, written by the kernel only.
struct IoDescriptor {
    std::uint32_t operation_and_flags;  ///< operation: bits 0–7
    std::uint32_t sectors;
    std::uint64_t start_sector;
    std::uint64_t address;
};
static_assert(sizeof(IoDescriptor) == 24);
static_assert(offsetof(IoDescriptor, start_sector) == 8);

namespace operation {
inline constexpr std::uint32_t mask = 0xff;
inline constexpr std::uint32_t read = 0;
inline constexpr std::uint32_t write = 1;
inline constexpr std::uint32_t flush = 2;
inline constexpr std::uint32_t discard = 3;
inline constexpr std::uint32_t write_zeroes = 5;
inline constexpr std::uint32_t flag_force_unit_access = 1U << 13;
}  // namespace operation

inline constexpr unsigned sector_bytes = 512;
inline constexpr unsigned max_queue_depth = 4096;
/// Result of a FETCH that brings a request. A negative one means that no request will come any more.
inline constexpr int result_ok = 0;
/// Queue q's descriptors are mapped from descriptor_offset + q × descriptor_stride, read-only.
inline constexpr std::uint64_t descriptor_offset = 0;
inline constexpr std::uint64_t descriptor_stride = max_queue_depth * sizeof(IoDescriptor);
static_assert(descriptor_stride % 4096 == 0, "the kernel rounds it up to whole pages");

// ---- command numbers, encoded like ioctl numbers of type 'u' ----

namespace detail {
constexpr std::uint32_t encode(std::uint32_t direction, std::uint32_t number, std::size_t size) {
    return direction << 30 | static_cast<std::uint32_t>(size) << 16 | std::uint32_t{'u'} << 8 | number;
}
constexpr std::uint32_t control_read(std::uint32_t number) {
    return encode(2, number, sizeof(ControlCommand));
}
constexpr std::uint32_t control_both(std::uint32_t number) {
    return encode(3, number, sizeof(ControlCommand));
}
constexpr std::uint32_t io_both(std::uint32_t number) {
    return encode(3, number, sizeof(IoCommand));
}
constexpr std::uint32_t batch_both(std::uint32_t number) {
    return encode(3, number, sizeof(BatchCommand));
}
}  // namespace detail

namespace command {
inline constexpr std::uint32_t get_device_info = detail::control_read(0x02);
inline constexpr std::uint32_t add_device = detail::control_both(0x04);
inline constexpr std::uint32_t delete_device = detail::control_both(0x05);
inline constexpr std::uint32_t start_device = detail::control_both(0x06);
inline constexpr std::uint32_t stop_device = detail::control_both(0x07);
inline constexpr std::uint32_t set_parameters = detail::control_both(0x08);
inline constexpr std::uint32_t get_parameters = detail::control_read(0x09);
inline constexpr std::uint32_t start_user_recovery = detail::control_both(0x10);
inline constexpr std::uint32_t end_user_recovery = detail::control_both(0x11);
inline constexpr std::uint32_t get_features = detail::control_read(0x13);
inline constexpr std::uint32_t delete_device_async = detail::control_read(0x14);

inline constexpr std::uint32_t fetch = detail::io_both(0x20);
inline constexpr std::uint32_t commit_and_fetch = detail::io_both(0x21);
inline constexpr std::uint32_t prepare_batch = detail::batch_both(0x25);
inline constexpr std::uint32_t commit_batch = detail::batch_both(0x26);
inline constexpr std::uint32_t fetch_batch = detail::batch_both(0x27);
}  // namespace command

static_assert(command::get_device_info == 0x80207502);
static_assert(command::add_device == 0xc0207504);
static_assert(command::commit_and_fetch == 0xc0107521);

}  // namespace outboard::ublk
