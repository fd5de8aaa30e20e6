// The slow side of a controller: enabling and disabling it, asking it, making its queues (NVM Express Base
// Specification 2.0, 3.5 and 3.6). Coroutines with deadlines on the controller's loop, one at a time. They
// throw outboard::Error naming what was tried and the device.
#pragma once

#include "outboard/drivers/nvme/admin_queue.hpp"
#include "outboard/drivers/nvme/identify.hpp"
#include "outboard/drivers/nvme/registers.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace outboard::nvme {

/// How long things may take.
struct Limits {
    /// One command. The specification states none; 30 s is what other drivers allow.
    Duration command = std::chrono::seconds(30);
    /// A change of CSTS.RDY: what the controller states.
    Duration ready = std::chrono::milliseconds(500);
};

/// A controller as these functions use it. `page` takes what the controller tells; `name` is what messages
/// call it: "0000:01:00.0".
struct ControllerAccess {
    RegisterBlock<register_bytes>& registers;
    AdminQueue& admin;
    RunLoop& loop;
    const Limits& limits;
    const DmaSpan& page;
    const std::string& name;
};

/// The longest time that a change of CSTS.RDY may take (CAP.TO, CRTO).
Duration ready_limit(const RegisterBlock<register_bytes>& registers);

/// CC.EN = 0, and waits until it is not ready. It writes to no memory afterwards. Throws Error (kind io) when
/// the registers read as all ones, (kind timed_out) when it stays ready.
Task<void> disable_controller(ControllerAccess access);

/// Empties the admin queues, hands them over, CC.EN = 1, and waits until it is ready. Bus mastering is on.
Task<void> enable_controller(ControllerAccess access);

/// Identify Controller.
Task<ControllerIdentity> identify_controller(ControllerAccess access);

/// The numbers of the active namespaces.
Task<std::vector<std::uint32_t>> list_namespaces(ControllerAccess access, const ControllerIdentity& identity);

/// Identify Namespace; what cannot be driven is an Error of kind unsupported.
Task<NamespaceIdentity> identify_namespace(ControllerAccess access, std::uint32_t id);

/// Asks for `pairs` I/O queue pairs; gives how many there will be, which may be more or fewer.
Task<unsigned> set_queue_count(ControllerAccess access, unsigned pairs);

/// Switches the volatile write cache when told to, and says whether it is on.
Task<bool> set_write_cache(ControllerAccess access, std::optional<bool> on);

/// A normal shutdown: what its caches hold is written. `limit` is the deadline.
Task<void> shut_controller_down(ControllerAccess access, Duration limit);

}  // namespace outboard::nvme
