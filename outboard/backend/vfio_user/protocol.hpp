// The vfio-user protocol, version 0.1 (docs/interop/vfio-user.rst of QEMU is its specification): facts of it
// in our own types. Messages go over a UNIX stream socket, descriptors beside them; integers are in host
// order. Every size and offset is asserted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outboard::vfio_user {

inline constexpr std::uint16_t major_version = 0;
inline constexpr std::uint16_t minor_version = 1;

/// What holds where a capability of the version message does not say otherwise ("Version" in the
/// specification).
inline constexpr std::uint32_t default_max_message_descriptors = 1;
inline constexpr std::uint32_t default_max_transfer_bytes = 1024 * 1024;
inline constexpr std::uint32_t default_max_dma_maps = 65535;

enum class Command : std::uint16_t {
    version = 1,
    dma_map = 2,
    dma_unmap = 3,
    device_info = 4,
    region_info = 5,
    region_io_descriptors = 6,
    interrupt_info = 7,
    set_interrupts = 8,
    region_read = 9,
    region_write = 10,
    dma_read = 11,   ///< server to client
    dma_write = 12,  ///< server to client
    device_reset = 13,
    region_write_multi = 15,
    device_feature = 16,
    migration_data_read = 17,
    migration_data_write = 18,
};

/// Starts every message; `size` counts it in.
struct Header {
    std::uint16_t message_id;  ///< the sender's choice; a reply has that of its command
    std::uint16_t command;     ///< a Command
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t error;  ///< an errno value, when flags has `header_flag::error`
};
static_assert(sizeof(Header) == 16);
static_assert(offsetof(Header, size) == 4);
static_assert(offsetof(Header, error) == 12);

namespace header_flag {
inline constexpr std::uint32_t type_mask = 0xf;
inline constexpr std::uint32_t type_command = 0;
inline constexpr std::uint32_t type_reply = 1;
inline constexpr std::uint32_t no_reply = 0x10;  ///< on a command: the sender wants no answer
inline constexpr std::uint32_t error = 0x20;     ///< on a reply
}  // namespace header_flag

/// Followed by a JSON text that ends with a zero byte, or by nothing.
struct Version {
    std::uint16_t major;
    std::uint16_t minor;
};
static_assert(sizeof(Version) == 4);

namespace dma_flag {
inline constexpr std::uint32_t readable = 1U << 0;
inline constexpr std::uint32_t writable = 1U << 1;
}  // namespace dma_flag

/// A descriptor beside it is the file that `offset` counts in; without one the server has to ask with
/// messages.
struct DmaMap {
    std::uint32_t argument_size;
    std::uint32_t flags;
    std::uint64_t offset;
    std::uint64_t address;
    std::uint64_t size;
};
static_assert(sizeof(DmaMap) == 32);
static_assert(offsetof(DmaMap, address) == 16);

namespace unmap_flag {
inline constexpr std::uint32_t dirty_bitmap = 1U << 0;
inline constexpr std::uint32_t all = 1U << 1;  ///< address and size are zero
}  // namespace unmap_flag

/// Also the reply.
struct DmaUnmap {
    std::uint32_t argument_size;
    std::uint32_t flags;
    std::uint64_t address;
    std::uint64_t size;
};
static_assert(sizeof(DmaUnmap) == 24);

namespace device_flag {
inline constexpr std::uint32_t reset = 1U << 0;
inline constexpr std::uint32_t pci = 1U << 1;
}  // namespace device_flag

/// Command and reply.
struct DeviceInfo {
    std::uint32_t argument_size;
    std::uint32_t flags;
    std::uint32_t regions;
    std::uint32_t interrupts;  ///< kinds of them
};
static_assert(sizeof(DeviceInfo) == 16);

namespace region_flag {
inline constexpr std::uint32_t readable = 1U << 0;
inline constexpr std::uint32_t writable = 1U << 1;
inline constexpr std::uint32_t mappable = 1U << 2;
inline constexpr std::uint32_t capabilities = 1U << 3;
}  // namespace region_flag

/// Command and reply. Regions are numbered as VFIO does for PCI: BAR 0 to 5, ROM, configuration space, VGA.
/// The reply may be followed by capabilities; descriptors beside it are the files that the region is mapped
/// from.
struct RegionInfo {
    std::uint32_t argument_size;
    std::uint32_t flags;
    std::uint32_t index;
    std::uint32_t capability_offset;  ///< from the start of this structure; 0 for none
    std::uint64_t size;
    std::uint64_t offset;  ///< of the region in the file
};
static_assert(sizeof(RegionInfo) == 32);
static_assert(offsetof(RegionInfo, size) == 16);
inline constexpr std::uint32_t pci_regions = 9;

struct CapabilityHeader {
    std::uint16_t id;
    std::uint16_t version;
    std::uint32_t next;  ///< offset of the next one, as capability_offset; 0 for the last
};
static_assert(sizeof(CapabilityHeader) == 8);
inline constexpr std::uint16_t sparse_mmap_capability = 1;

/// Followed by `areas` pairs of offset and size.
struct SparseMmap {
    CapabilityHeader header;
    std::uint32_t areas;
    std::uint32_t reserved;
};
static_assert(sizeof(SparseMmap) == 16);
struct SparseArea {
    std::uint64_t offset;
    std::uint64_t size;
};
static_assert(sizeof(SparseArea) == 16);

/// What a region behind those of PCI is.
struct RegionType {
    CapabilityHeader header;
    std::uint32_t type;
    std::uint32_t subtype;
};
static_assert(sizeof(RegionType) == 16);
inline constexpr std::uint16_t region_type_capability = 2;

/// Kinds of interrupt, as VFIO numbers them for PCI.
namespace interrupt_index {
inline constexpr std::uint32_t intx = 0;
inline constexpr std::uint32_t msi = 1;
inline constexpr std::uint32_t msix = 2;
inline constexpr std::uint32_t error = 3;
inline constexpr std::uint32_t request = 4;
inline constexpr std::uint32_t count = 5;
}  // namespace interrupt_index

namespace interrupt_flag {
inline constexpr std::uint32_t eventfd = 1U << 0;
inline constexpr std::uint32_t maskable = 1U << 1;
inline constexpr std::uint32_t automasked = 1U << 2;
inline constexpr std::uint32_t no_resize = 1U << 3;
}  // namespace interrupt_flag

/// Command and reply.
struct InterruptInfo {
    std::uint32_t argument_size;
    std::uint32_t flags;
    std::uint32_t index;
    std::uint32_t count;
};
static_assert(sizeof(InterruptInfo) == 16);

namespace set_flag {
inline constexpr std::uint32_t data_none = 1U << 0;
inline constexpr std::uint32_t data_bool = 1U << 1;
inline constexpr std::uint32_t data_eventfd = 1U << 2;  ///< the descriptors are beside the message
inline constexpr std::uint32_t action_mask = 1U << 3;
inline constexpr std::uint32_t action_unmask = 1U << 4;
inline constexpr std::uint32_t action_trigger = 1U << 5;
}  // namespace set_flag

/// The reply is a header alone.
struct SetInterrupts {
    std::uint32_t argument_size;
    std::uint32_t flags;
    std::uint32_t index;
    std::uint32_t start;
    std::uint32_t count;
};
static_assert(sizeof(SetInterrupts) == 20);

/// Command and reply of region_read and region_write; the data follow where there are any.
struct RegionAccess {
    std::uint64_t offset;
    std::uint32_t region;
    std::uint32_t count;
};
static_assert(sizeof(RegionAccess) == 16);

/// Command and reply of dma_read and dma_write; likewise.
struct DmaAccessMessage {
    std::uint64_t address;
    std::uint64_t count;
};
static_assert(sizeof(DmaAccessMessage) == 16);

/// Starts region_write_multi, whose reply is the same with the number of writes done.
struct WriteMulti {
    std::uint64_t writes;
};
static_assert(sizeof(WriteMulti) == 8);
struct WriteMultiEntry {
    std::uint64_t offset;
    std::uint32_t region;
    std::uint32_t count;  ///< 1 to 8 of the bytes
    std::uint8_t data[8];
};
static_assert(sizeof(WriteMultiEntry) == 24);

/// Starts device_feature; the feature's own data follow.
struct DeviceFeature {
    std::uint32_t argument_size;
    std::uint32_t flags;
};
static_assert(sizeof(DeviceFeature) == 8);

}  // namespace outboard::vfio_user
