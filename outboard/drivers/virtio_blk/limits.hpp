// What a virtio disk says of itself, and what follows from it for requests.
#pragma once

#include "outboard/classes/block_device.hpp"
#include "outboard/drivers/virtio/transport.hpp"

#include <cstdint>
#include <expected>
#include <string_view>

namespace outboard::virtio_blk {

/// Most bytes of one read or write.
inline constexpr std::uint32_t max_request_bytes = 1U << 20;
/// Most elements of one request, header and status included.
inline constexpr std::uint32_t max_elements = 128;

/// Fields of the configuration; zero where the device does not have them.
struct DiskConfiguration {
    std::uint64_t sectors = 0;
    std::uint32_t size_max = 0;
    std::uint32_t seg_max = 0;
    std::uint32_t block_size = 0;
    std::uint32_t physical_block_exponent = 0;
    std::uint32_t queues = 0;
    std::uint32_t max_discard_sectors = 0;
    std::uint32_t max_write_zeroes_sectors = 0;

    friend bool operator==(const DiskConfiguration&, const DiskConfiguration&) = default;
};

/// Reads the configuration, as far as the features that were negotiated say that it is there. Throws Error.
DiskConfiguration read_configuration(const virtio::Transport& transport);

/// What the data path works with.
struct DiskLimits {
    std::uint64_t capacity = 0;  ///< bytes
    std::uint32_t block_size = 512;
    std::uint32_t physical_block_size = 512;
    std::uint32_t max_transfer = 0;       ///< bytes; any request of so many in max_segments segments fits
    std::uint32_t max_segments = 1;       ///< that the caller may give
    std::uint32_t max_data_elements = 1;  ///< that a request may have
    std::uint32_t max_element_bytes = 0;
    std::uint32_t max_discard = 0;
    std::uint32_t max_write_zeroes = 0;
    std::uint16_t depth = 1;  ///< requests of a queue at a time
};

/// Works it out for queues of `queue_size` descriptors, with or without tables of descriptors. The error says
/// why the disk cannot be driven. Pure.
std::expected<DiskLimits, std::string_view> make_limits(const DiskConfiguration& configuration,
                                                        std::uint16_t queue_size, bool indirect);

}  // namespace outboard::virtio_blk
