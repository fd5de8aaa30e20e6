#include "outboard/backend/vfio_user/info.hpp"

#include "outboard/base/bytes.hpp"

#include <limits>
#include <utility>

#include <fmt/format.h>

namespace outboard::vfio_user {

namespace {

using Problem = std::unexpected<std::string>;

constexpr std::uint64_t page = 4096;
/// Of an answer about one region: 4,000 areas.
constexpr std::uint32_t most_info_bytes = 64 * 1024;

bool whole_pages(std::uint64_t value) {
    return value % page == 0;
}

/// The areas of the capability at `start`.
Parsed<std::vector<SparseArea>> read_areas(std::span<const std::byte> body, std::size_t start,
                                           std::uint64_t region_size) {
    const auto sparse = read_at<SparseMmap>(body, start);
    if (!sparse)
        return Problem("a capability of a region does not lie inside the answer");
    const std::size_t room = (body.size() - start - sizeof(SparseMmap)) / sizeof(SparseArea);
    if (sparse->areas > room)
        return Problem(
            fmt::format("it announces {} areas that can be mapped and gives {}", sparse->areas, room));
    std::vector<SparseArea> areas;
    for (std::uint32_t i = 0; i < sparse->areas; ++i) {
        const auto area = read_at<SparseArea>(body, start + sizeof(SparseMmap) + i * sizeof(SparseArea));
        if (!area || area->offset > region_size || area->size > region_size - area->offset)
            return Problem("an area that can be mapped does not lie inside its region");
        areas.push_back(*area);
    }
    return areas;
}

/// The areas that the chain of capabilities lists; the whole region when there is no such list.
Parsed<std::vector<SparseArea>> find_areas(std::span<const std::byte> body, const RegionInfo& info) {
    std::uint32_t offset = (info.flags & region_flag::capabilities) != 0 ? info.capability_offset : 0;
    std::uint32_t before = sizeof(RegionInfo) - 1;
    while (offset != 0) {
        // Forward only: a chain that loops ends here.
        const auto header = read_at<CapabilityHeader>(body, offset);
        if (!header || offset <= before)
            return Problem("the capabilities of a region are no chain inside the answer");
        if (header->id == sparse_mmap_capability)
            return read_areas(body, offset, info.size);
        before = offset;
        offset = header->next;
    }
    return std::vector<SparseArea>{{.offset = 0, .size = info.size}};
}

/// Which of `descriptors` the area `index` of `areas` is mapped from: all from one, or each from its own.
std::size_t descriptor_of(std::size_t index, std::size_t areas, std::size_t descriptors) {
    return descriptors == areas ? index : 0;
}

unsigned most_vectors(InterruptKind kind) {
    switch (kind) {
        case InterruptKind::intx:
            return 1;
        case InterruptKind::msi:
            return 32;  // PCI 3.0, 6.8.1
        case InterruptKind::msix:
            return 2048;  // PCI 3.0, 6.8.2
    }
    return 0;
}

}  // namespace

Parsed<ServerDevice> parse_device_info(std::span<const std::byte> body) {
    const auto info = read_at<DeviceInfo>(body, 0);
    if (!info)
        return Problem("its answer about the device is too short");
    if ((info->flags & device_flag::pci) == 0)
        return Problem("its device is not a PCI device");
    return ServerDevice{.resettable = (info->flags & device_flag::reset) != 0,
                        .regions = info->regions,
                        .interrupts = info->interrupts};
}

Parsed<ServerRegion> parse_region_info(std::span<const std::byte> body, std::uint32_t index,
                                       std::size_t descriptors) {
    const auto info = read_at<RegionInfo>(body, 0);
    if (!info)
        return Problem("its answer about a region is too short");
    if (info->index != index)
        return Problem(fmt::format("it answers about region {} when asked about {}", info->index, index));
    ServerRegion region;
    region.info = {.size = info->size,
                   .readable = (info->flags & region_flag::readable) != 0,
                   .writable = (info->flags & region_flag::writable) != 0,
                   .mappable = {}};
    if (info->argument_size > body.size()) {
        if (info->argument_size > most_info_bytes)
            return Problem(fmt::format("its answer about a region has {} bytes", info->argument_size));
        region.needed = info->argument_size;
        return region;
    }
    if ((info->flags & region_flag::mappable) == 0 || descriptors == 0 || info->size == 0)
        return region;
    const auto areas = find_areas(body, *info);
    if (!areas)
        return Problem(areas.error());
    if (descriptors != 1 && descriptors != areas->size())
        return Problem(
            fmt::format("it gives {} descriptors for {} areas of a region", descriptors, areas->size()));
    constexpr auto last_file_offset = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    for (std::size_t i = 0; i < areas->size(); ++i) {
        const auto [offset, size] = (*areas)[i];
        if (info->offset > last_file_offset || offset > last_file_offset - info->offset ||
            size > last_file_offset - info->offset - offset)
            return Problem("an area that can be mapped lies beyond the end of any file");
        if (size == 0 || !whole_pages(offset) || !whole_pages(size) || !whole_pages(info->offset))
            continue;
        region.files.push_back({.area = {.offset = offset, .size = size},
                                .descriptor = descriptor_of(i, areas->size(), descriptors),
                                .offset = info->offset + offset});
    }
    return region;
}

Parsed<ServerInterrupts> parse_interrupt_info(std::span<const std::byte> body, InterruptKind kind) {
    const auto info = read_at<InterruptInfo>(body, 0);
    if (!info)
        return Problem("its answer about interrupts is too short");
    const auto index = static_cast<std::uint32_t>(std::to_underlying(kind));
    if (info->index != index)
        return Problem(
            fmt::format("it answers about interrupts of kind {} when asked about {}", info->index, index));
    if (info->count > most_vectors(kind))
        return Problem(fmt::format("it states {} interrupts of kind {}; a PCI device has at most {}",
                                   info->count, index, most_vectors(kind)));
    const bool automasked = (info->flags & interrupt_flag::automasked) != 0;
    return ServerInterrupts{.info = {.count = (info->flags & interrupt_flag::eventfd) != 0 ? info->count : 0,
                                     .maskable = automasked},
                            .switchable = automasked || (info->flags & interrupt_flag::maskable) != 0,
                            .all_at_once = (info->flags & interrupt_flag::no_resize) != 0};
}

}  // namespace outboard::vfio_user
