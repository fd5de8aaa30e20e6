// What a program does with a disk driver, in an order that the input says.
#pragma once

#include "outboard/backend/backend.hpp"
#include "outboard/classes/driver.hpp"
#include "outboard/runtime/clock.hpp"
#include "outboard/sim/pci_model.hpp"

#include <cstddef>
#include <functional>
#include <memory>

#include "fuzz/input.hpp"

namespace outboard::fuzz {

/// Requests of a batch.
inline constexpr std::size_t batch_requests = 4;

/// How long things may take.
struct DriveLimits {
    Duration batch{};     ///< until every request of a batch has ended
    Duration bring_up{};  ///< and shutting down
};

/// A driver on a device that lies, from its start to its end, with options and requests that the input
/// chooses. `turn` lets the honest device behind it work while the driver sleeps; true when it had work.
void drive(Input& input, std::unique_ptr<Backend> honest, const std::function<bool()>& turn,
           const DriverDescription& description, const DriveLimits& limits);

/// The same on a simulated device.
void drive(Input& input, std::unique_ptr<sim::PciModel> model, const DriverDescription& description,
           const DriveLimits& limits);

}  // namespace outboard::fuzz
