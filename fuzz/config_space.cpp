// PCI configuration space: identity and capability lists.
#include "outboard/device/config_space.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"

namespace outboard::fuzz {
namespace {}  // namespace

void run(Input input) {
    const std::span<const std::byte> bytes = input.take_rest();
    std::set<std::uint16_t> starts;
    for (const Capability& capability : parse_capabilities(bytes)) {
        require(capability.offset % 4 == 0, "a capability starts at a multiple of four");
        require(
            capability.offset + 4U <= std::min<std::size_t>(bytes.size(), capability.extended ? 4096 : 256),
            "its header lies inside");
        require(capability.offset >= (capability.extended ? 256 : 64), "and behind what comes before");
        require(starts.insert(capability.offset).second, "each has a header of its own");
    }
    std::vector<std::byte> padded(bytes.begin(), bytes.end());
    padded.resize(std::max<std::size_t>(padded.size(), 64));
    require(parse_identity(bytes) == parse_identity(padded), "bytes that are missing read as zero");
}

}  // namespace outboard::fuzz
