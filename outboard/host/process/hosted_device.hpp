// The life of a host: one device, driven on behalf of a supervisor.
#pragma once

#include "outboard/base/packet_socket.hpp"
#include "outboard/runtime/run_loop.hpp"
#include "outboard/runtime/task.hpp"

namespace outboard {

/// Says Hello on `socket`, is given a device, its memory and its block devices there, and serves these until
/// it is told to finish. It opens nothing by itself. Throws Error; what it throws has been told to the
/// supervisor as well, if that still listens.
Task<void> host_device(RunLoop& loop, PacketSocket socket);

}  // namespace outboard
