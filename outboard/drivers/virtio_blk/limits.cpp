#include "outboard/drivers/virtio_blk/limits.hpp"

#include "outboard/drivers/virtio_blk/request.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace outboard::virtio_blk {

namespace {

using virtio::has;

constexpr std::uint32_t smallest_block = 512;
constexpr std::uint32_t largest_block = 65536;
/// Header and status.
constexpr std::uint32_t frame_elements = 2;
constexpr std::uint64_t most_bytes = std::numeric_limits<std::uint32_t>::max();

/// Bytes of so many sectors, as whole blocks that 32 bits can say.
std::uint32_t whole_blocks(std::uint64_t bytes, std::uint32_t block_size) {
    return static_cast<std::uint32_t>(std::min(bytes, most_bytes) / block_size * block_size);
}

}  // namespace

DiskConfiguration read_configuration(const virtio::Transport& transport) {
    const virtio::Features features = transport.features();
    const auto word = [&](virtio::Features needed, std::uint32_t offset) -> std::uint32_t {
        return has(features, needed) ? transport.read_configuration<std::uint32_t>(offset) : 0;
    };
    return transport.read_configuration_whole([&] {
        DiskConfiguration found;
        found.sectors = transport.read_configuration<std::uint32_t>(field::capacity_low) |
                        std::uint64_t{transport.read_configuration<std::uint32_t>(field::capacity_high)}
                            << 32;
        found.size_max = word(feature::size_max, field::size_max);
        found.seg_max = word(feature::seg_max, field::seg_max);
        found.block_size = word(feature::block_size, field::block_size);
        if (has(features, feature::topology))
            found.physical_block_exponent =
                transport.read_configuration<std::uint8_t>(field::physical_block_exponent);
        if (has(features, feature::queues))
            found.queues = transport.read_configuration<std::uint16_t>(field::queues);
        if (word(feature::discard, field::max_discard_segments) != 0)
            found.max_discard_sectors = word(feature::discard, field::max_discard_sectors);
        if (word(feature::write_zeroes, field::max_write_zeroes_segments) != 0)
            found.max_write_zeroes_sectors = word(feature::write_zeroes, field::max_write_zeroes_sectors);
        return found;
    });
}

std::expected<DiskLimits, std::string_view> make_limits(const DiskConfiguration& configuration,
                                                        std::uint16_t queue_size, bool indirect) {
    DiskLimits limits;
    if (configuration.block_size != 0)
        limits.block_size = configuration.block_size;
    if (!std::has_single_bit(limits.block_size) || limits.block_size < smallest_block ||
        limits.block_size > largest_block)
        return std::unexpected("its block size is no power of two from 512 to 65536 bytes");
    if (configuration.sectors > std::numeric_limits<std::uint64_t>::max() >> sector_shift)
        return std::unexpected("its capacity has more than 64 bits");
    limits.capacity = (configuration.sectors << sector_shift) / limits.block_size * limits.block_size;
    if (limits.capacity == 0)
        return std::unexpected("it is empty");
    constexpr std::uint32_t most_exponent = 15;
    const bool sensible = configuration.physical_block_exponent <= most_exponent;
    limits.physical_block_size = limits.block_size << (sensible ? configuration.physical_block_exponent : 0);

    // Header, data and status are elements of their own, and a table has no more than the ring (2.7.5.3.1).
    if (queue_size <= frame_elements)
        return std::unexpected("its queue is too short for a request");
    const std::uint32_t most_elements = std::min<std::uint32_t>(max_elements, queue_size);
    const std::uint32_t elements =
        std::min(most_elements - frame_elements, std::max(configuration.seg_max, 1U));
    limits.max_data_elements = elements;
    limits.max_element_bytes = configuration.size_max != 0 ? configuration.size_max : max_request_bytes;
    limits.depth = indirect ? queue_size : static_cast<std::uint16_t>(queue_size / (frame_elements + 1));

    // A segment of n bytes takes n / size_max elements, and one more for the rest.
    limits.max_segments = configuration.size_max != 0 ? std::max(elements / 2, 1U) : elements;
    const std::uint64_t whole = configuration.size_max == 0 ? max_request_bytes
                                : elements == 1
                                    ? configuration.size_max
                                    : std::uint64_t{elements - limits.max_segments} * configuration.size_max;
    limits.max_transfer = whole_blocks(std::min<std::uint64_t>(whole, max_request_bytes), limits.block_size);
    if (limits.max_transfer == 0)
        return std::unexpected("its requests have room for less than a block");
    limits.max_discard =
        whole_blocks(std::uint64_t{configuration.max_discard_sectors} << sector_shift, limits.block_size);
    limits.max_write_zeroes = whole_blocks(
        std::uint64_t{configuration.max_write_zeroes_sectors} << sector_shift, limits.block_size);
    return limits;
}

}  // namespace outboard::virtio_blk
