// The way to a server: a path in the file system.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/runtime/clock.hpp"

#include <string>

namespace outboard::vfio_user {

/// A blocking stream socket, connected to the UNIX socket at `path` within `limit`. `name` is what messages
/// call the device. Throws Error: busy when the server's queue of clients is full.
Fd connect_to(const std::string& path, const std::string& name, Duration limit);

}  // namespace outboard::vfio_user
