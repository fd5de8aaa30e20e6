// The message that connects, masks and triggers interrupts (vfio-user 0.1, VFIO_USER_DEVICE_SET_IRQS).
#pragma once

#include "outboard/sim/interrupts.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace outboard::sim {

/// Does what the message's body says, with the descriptors beside it; those that it keeps are moved out.
/// Returns 0, or EINVAL for a message that means nothing, with nothing done.
[[nodiscard]] int set_interrupts(Interrupts& interrupts, std::span<const std::byte> body,
                                 std::vector<Fd>& descriptors);

}  // namespace outboard::sim
