// What a server says about its device, region by region and kind by kind of interrupt. Pure functions on the
// bodies of its replies: everything in them is checked here, once.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/backend/vfio_user/protocol.hpp"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

namespace outboard::vfio_user {

/// Errors of the parsers are half sentences: what is wrong with the server's answer.
template <class T>
using Parsed = std::expected<T, std::string>;

struct ServerDevice {
    bool resettable = false;
    unsigned regions = 0;     ///< as the server counts them; a PCI device has 9
    unsigned interrupts = 0;  ///< kinds of them
};

/// Reads the reply to device_info. A device that is not a PCI device is an error.
Parsed<ServerDevice> parse_device_info(std::span<const std::byte> body);

/// A part of a region that can be mapped from one of the descriptors beside the reply.
struct RegionFile {
    MappableArea area;
    std::size_t descriptor = 0;
    std::uint64_t offset = 0;  ///< of the area in the file; the end of the area is a valid file offset too
};

struct ServerRegion {
    outboard::RegionInfo info;      ///< `mappable` is empty: that depends on the files
    std::vector<RegionFile> files;  ///< areas of whole pages inside the region; empty when it is not shared
    /// The bytes of a complete answer when this one was cut off; ask again with so much room. Otherwise 0.
    std::uint32_t needed = 0;
};

/// Reads the reply to region_info for region `index` with `descriptors` descriptors beside it. Areas that are
/// not whole pages, and regions shared without a descriptor, cannot be mapped and are left out: messages
/// reach them.
Parsed<ServerRegion> parse_region_info(std::span<const std::byte> body, std::uint32_t index,
                                       std::size_t descriptors);

struct ServerInterrupts {
    outboard::InterruptInfo info;  ///< count 0 when they cannot be had as eventfds
    bool switchable = false;       ///< takes messages that mask and unmask
    bool all_at_once = false;      ///< vectors cannot be enabled in several messages
};

/// Reads the reply to interrupt_info for one kind.
Parsed<ServerInterrupts> parse_interrupt_info(std::span<const std::byte> body, InterruptKind kind);

}  // namespace outboard::vfio_user
