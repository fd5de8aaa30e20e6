// Orders faults of a simulated device, over the connection that its driver uses.
#pragma once

#include "outboard/backend/vfio_user/vfio_user_backend.hpp"
#include "outboard/sim/fault_plan.hpp"

#include <cstdint>
#include <vector>

namespace outboard {

/// All functions throw Error when the server does not do as it is asked. One thread, the driver's.
class FaultOrders {
  public:
    /// `device` outlives it. Throws Error (kind unsupported) when it is no device of `outboard sim`.
    explicit FaultOrders(vfio_user::VfioUserBackend& device);

    /// The kinds that this device can have.
    std::vector<sim::FaultKind> possible() const;
    /// The next opportunity of this kind strikes.
    void order(sim::FaultKind kind);
    /// True when the order had not struck yet: it never will.
    bool take_back(sim::FaultKind kind);
    /// How often a kind has struck since the device began to be simulated.
    std::uint64_t struck(sim::FaultKind kind) const;

  private:
    template <class T>
    T read(std::uint64_t offset) const;
    void write(std::uint64_t offset, sim::FaultKind kind);

    vfio_user::VfioUserBackend* device_;
};

}  // namespace outboard
