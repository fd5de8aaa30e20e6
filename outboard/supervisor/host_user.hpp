// Who hosts are.
#pragma once

#include "outboard/host/sandbox.hpp"

namespace outboard {

/// The user "outboard-host" where there is one, as the packages make it, and nobody otherwise. For a
/// supervisor without root's rights user 0: its hosts stay who it is.
SandboxUser host_user();

}  // namespace outboard
