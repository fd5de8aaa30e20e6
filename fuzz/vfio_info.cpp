// Capability chains in the answers of VFIO's ioctls.
#include "outboard/backend/vfio/info.hpp"

#include <algorithm>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"

namespace outboard::fuzz {
namespace {}  // namespace

void run(Input input) {
    const auto first = input.take<std::uint16_t>();
    const auto id = input.take<std::uint8_t>();
    const auto region_size = input.take<std::uint64_t>();
    const std::span<const std::byte> info = input.take_rest();
    const auto capability = vfio::find_capability(info, first, id);
    if (!capability)
        return;
    require(!capability->empty() && capability->data() >= info.data() &&
                capability->data() + capability->size() == info.data() + info.size(),
            "a capability lies inside the answer and runs to its end");
    for (const MappableArea& area : vfio::parse_sparse_areas(*capability, region_size))
        require(area.size > 0 && area.offset < region_size && area.size <= region_size - area.offset,
                "an area lies inside its region");
    const auto ranges = vfio::parse_iova_ranges(*capability);
    require(std::ranges::is_sorted(ranges, {}, &IovaRange::first), "ranges are ascending");
    require(std::ranges::all_of(ranges, [](const IovaRange& range) { return range.first <= range.last; }),
            "no range ends before it begins");
}

}  // namespace outboard::fuzz
