// What a virtio block device is given and what it answers (Virtio 1.2, 5.2.3, 5.2.4 and 5.2.6).
#pragma once

#include "outboard/base/endian.hpp"
#include "outboard/drivers/virtio/features.hpp"

#include <cstddef>
#include <cstdint>

namespace outboard::virtio_blk {

inline constexpr std::uint16_t device_type = 2;
inline constexpr std::uint16_t transitional_id = 0x1001;

namespace feature {

using virtio::Features;

inline constexpr Features size_max = Features{1} << 1;       ///< VIRTIO_BLK_F_SIZE_MAX
inline constexpr Features seg_max = Features{1} << 2;        ///< VIRTIO_BLK_F_SEG_MAX
inline constexpr Features read_only = Features{1} << 5;      ///< VIRTIO_BLK_F_RO
inline constexpr Features block_size = Features{1} << 6;     ///< VIRTIO_BLK_F_BLK_SIZE
inline constexpr Features flush = Features{1} << 9;          ///< VIRTIO_BLK_F_FLUSH
inline constexpr Features topology = Features{1} << 10;      ///< VIRTIO_BLK_F_TOPOLOGY
inline constexpr Features cache_switch = Features{1} << 11;  ///< VIRTIO_BLK_F_CONFIG_WCE
inline constexpr Features queues = Features{1} << 12;        ///< VIRTIO_BLK_F_MQ
inline constexpr Features discard = Features{1} << 13;       ///< VIRTIO_BLK_F_DISCARD
inline constexpr Features write_zeroes = Features{1} << 14;  ///< VIRTIO_BLK_F_WRITE_ZEROES

/// Those that the driver makes use of.
inline constexpr Features all = size_max | seg_max | read_only | block_size | flush | topology |
                                cache_switch | queues | discard | write_zeroes;

}  // namespace feature

/// Offsets in the device's configuration, struct virtio_blk_config. Each is there with its feature only, but
/// for the capacity.
namespace field {

inline constexpr std::uint32_t capacity_low = 0x00;  ///< in sectors, le64
inline constexpr std::uint32_t capacity_high = 0x04;
inline constexpr std::uint32_t size_max = 0x08;                 ///< bytes of a segment, le32
inline constexpr std::uint32_t seg_max = 0x0c;                  ///< segments of a request, le32
inline constexpr std::uint32_t block_size = 0x14;               ///< blk_size, bytes, le32
inline constexpr std::uint32_t physical_block_exponent = 0x18;  ///< log2 of blocks, 8 bits
inline constexpr std::uint32_t write_back = 0x20;               ///< writeback, 8 bits
inline constexpr std::uint32_t queues = 0x22;                   ///< num_queues, le16
inline constexpr std::uint32_t max_discard_sectors = 0x24;      ///< le32, as all that follow
inline constexpr std::uint32_t max_discard_segments = 0x28;
inline constexpr std::uint32_t max_write_zeroes_sectors = 0x30;
inline constexpr std::uint32_t max_write_zeroes_segments = 0x34;

}  // namespace field

/// The unit of offsets and lengths, whatever the block size is.
inline constexpr unsigned sector_shift = 9;

enum class RequestType : std::uint32_t {
    read = 0,          ///< VIRTIO_BLK_T_IN
    write = 1,         ///< VIRTIO_BLK_T_OUT
    flush = 4,         ///< VIRTIO_BLK_T_FLUSH
    get_id = 8,        ///< VIRTIO_BLK_T_GET_ID
    discard = 11,      ///< VIRTIO_BLK_T_DISCARD
    write_zeroes = 13  ///< VIRTIO_BLK_T_WRITE_ZEROES
};

/// Head of every request, struct virtio_blk_req.
struct RequestHeader {
    Le32 type;
    Le32 reserved;
    Le64 sector;
};
static_assert(sizeof(RequestHeader) == 16);

/// struct virtio_blk_discard_write_zeroes.
struct SectorRange {
    Le64 sector;
    Le32 sectors;
    Le32 flags;
};
static_assert(sizeof(SectorRange) == 16);

/// Bytes of the answer to get_id; shorter ones end with a zero.
inline constexpr std::size_t id_bytes = 20;

/// The last byte of a request, written by the device.
enum class RequestStatus : std::uint8_t {
    ok = 0,           ///< VIRTIO_BLK_S_OK
    error = 1,        ///< VIRTIO_BLK_S_IOERR
    unsupported = 2,  ///< VIRTIO_BLK_S_UNSUPP
    unwritten = 0xff  ///< ours: the device has not written it
};

}  // namespace outboard::virtio_blk
