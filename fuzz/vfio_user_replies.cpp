// What a vfio-user server says about itself and its device.
#include "outboard/backend/vfio_user/info.hpp"
#include "outboard/backend/vfio_user/version.hpp"

#include <bit>
#include <limits>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"

namespace outboard::fuzz {
namespace {

using namespace vfio_user;

void read_version(std::span<const std::byte> body, std::size_t descriptors) {
    const auto version = parse_version(body, descriptors);
    if (!version) {
        require(!version.error().empty(), "a refusal says why");
        return;
    }
    require(version->minor <= minor_version, "no version is newer than ours");
    require(version->max_descriptors <= 253, "the kernel passes so many descriptors");
    require(version->max_transfer_bytes >= 8 && version->max_transfer_bytes <= client_max_transfer_bytes,
            "a register can be transferred, and not more than we take");
    require(std::has_single_bit(version->dma_page_size) && version->dma_page_size >= 4096,
            "a page is a power of two, at least ours");
    require(!version->twin_socket || *version->twin_socket < descriptors, "the twin socket is there");
}

void read_region(std::span<const std::byte> body, std::uint32_t index, std::size_t descriptors) {
    const auto region = parse_region_info(body, index, descriptors);
    if (!region) {
        require(!region.error().empty(), "a refusal says why");
        return;
    }
    require(region->needed == 0 || (region->needed > body.size() && region->needed <= 64 * 1024),
            "an answer that was cut off is longer, within reason");
    for (const RegionFile& file : region->files) {
        const auto& [offset, size] = file.area;
        require(size > 0 && offset % 4096 == 0 && size % 4096 == 0 && file.offset % 4096 == 0,
                "an area is made of whole pages");
        require(offset < region->info.size && size <= region->info.size - offset, "inside its region");
        require(file.descriptor < descriptors, "in a file that is there");
        require(file.offset <= std::numeric_limits<std::int64_t>::max() &&
                    size <= std::numeric_limits<std::int64_t>::max() - file.offset,
                "that can be so long");
    }
}

}  // namespace

void run(Input input) {
    const unsigned kind = input.below(4);
    const std::size_t descriptors = input.below(5);
    const std::uint32_t index = input.below(9);
    const std::span<const std::byte> body = input.take_rest();
    switch (kind) {
        case 0:
            read_version(body, descriptors);
            break;
        case 1:
            if (const auto device = parse_device_info(body); !device)
                require(!device.error().empty(), "a refusal says why");
            break;
        case 2:
            read_region(body, index, descriptors);
            break;
        default:
            if (const auto interrupts = parse_interrupt_info(body, static_cast<InterruptKind>(index % 3)))
                require(interrupts->info.count <= 2048, "no device has more vectors");
    }
}

}  // namespace outboard::fuzz
