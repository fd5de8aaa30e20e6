#include "outboard/backend/vfio/info.hpp"

#include "outboard/base/bytes.hpp"

#include <algorithm>

#include <linux/vfio.h>

namespace outboard::vfio {

std::optional<std::span<const std::byte>> find_capability(std::span<const std::byte> info,
                                                          std::uint32_t first, std::uint16_t id) {
    std::uint32_t offset = first;
    while (offset != 0) {
        const auto header = read_at<vfio_info_cap_header>(info, offset);
        if (!header)
            return std::nullopt;
        if (header->id == id)
            return info.subspan(offset);
        if (header->next <= offset)
            return std::nullopt;
        offset = header->next;
    }
    return std::nullopt;
}

std::vector<MappableArea> parse_sparse_areas(std::span<const std::byte> capability,
                                             std::uint64_t region_size) {
    std::vector<MappableArea> areas;
    const auto count =
        read_at<std::uint32_t>(capability, offsetof(vfio_region_info_cap_sparse_mmap, nr_areas));
    for (std::uint32_t i = 0; i < count.value_or(0); ++i) {
        const std::size_t offset =
            sizeof(vfio_region_info_cap_sparse_mmap) + i * sizeof(vfio_region_sparse_mmap_area);
        const auto area = read_at<vfio_region_sparse_mmap_area>(capability, offset);
        if (!area)
            break;
        if (area->offset < region_size && area->size != 0)
            areas.push_back({.offset = area->offset,
                             .size = std::min<std::uint64_t>(area->size, region_size - area->offset)});
    }
    return areas;
}

std::vector<IovaRange> parse_iova_ranges(std::span<const std::byte> capability) {
    std::vector<IovaRange> ranges;
    const auto count =
        read_at<std::uint32_t>(capability, offsetof(vfio_iommu_type1_info_cap_iova_range, nr_iovas));
    for (std::uint32_t i = 0; i < count.value_or(0); ++i) {
        const std::size_t offset = sizeof(vfio_iommu_type1_info_cap_iova_range) + i * sizeof(vfio_iova_range);
        const auto range = read_at<vfio_iova_range>(capability, offset);
        if (!range)
            break;
        if (range->start <= range->end)
            ranges.push_back({.first = range->start, .last = range->end});
    }
    std::ranges::sort(ranges, {}, &IovaRange::first);
    return ranges;
}

}  // namespace outboard::vfio
