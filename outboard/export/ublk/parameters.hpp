// What the kernel is told about a disk, worked out from what the disk says of itself.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/export/ublk/uapi.hpp"

#include <cstdint>
#include <string>

namespace outboard::ublk {

/// Largest request that is asked of the kernel, in bytes. Every tag has a buffer of this size.
inline constexpr std::uint32_t largest_request = 512 * 1024;

/// Bytes of one request buffer for this disk: its largest transfer, at most largest_request, in whole pages.
/// Throws Error when the disk cannot transfer a page at once.
std::uint32_t request_buffer_bytes(const BlockInfo& info);

/// Parameters for SET_PARAMS. Requests of at most `buffer_bytes`.
///
/// Segments and DMA alignment stay at the kernel's defaults (any): the kernel copies a request into one
/// contiguous buffer of ours, so the memory it comes from does not matter to the disk. FUA is offered only by
/// a disk that has it: otherwise the kernel's own write-then-flush serves several writes with one flush.
Parameters make_parameters(const BlockInfo& info, std::uint32_t buffer_bytes);

/// Why a disk cannot go on serving a device that was started with `old`; empty when it can.
std::string mismatch(const Parameters& old, const BlockInfo& info, std::uint32_t buffer_bytes);

}  // namespace outboard::ublk
