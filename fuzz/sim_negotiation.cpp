// The version message of a client to a simulated device.
#include "outboard/backend/vfio_user/version.hpp"
#include "outboard/base/bytes.hpp"
#include "outboard/sim/negotiation.hpp"

#include <vector>

#include "fuzz/require.hpp"
#include "fuzz/target.hpp"

namespace outboard::fuzz {
namespace {}  // namespace

void run(Input input) {
    const sim::Agreement agreement = sim::negotiate(input.take_rest());
    if (agreement.error != 0)
        return;
    require(agreement.client.transfer_bytes >= 1, "a client takes at least a byte");
    std::vector<std::byte> reply;
    const auto numbers = bytes_of(agreement.version);
    reply.insert(reply.end(), numbers.begin(), numbers.end());
    const auto text = std::as_bytes(std::span(agreement.capabilities));
    reply.insert(reply.end(), text.begin(), text.end());
    require(vfio_user::parse_version(reply, 0).has_value(), "our own client understands the reply");
}

}  // namespace outboard::fuzz
