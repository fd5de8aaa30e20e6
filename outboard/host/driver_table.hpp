// The drivers that are built in.
#pragma once

#include "outboard/classes/driver.hpp"

#include <span>
#include <string_view>

namespace outboard {

/// All of them, in the order in which they are asked.
std::span<const DriverDescription* const> built_in_drivers() noexcept;

/// The driver for a device, or nullptr when there is none.
const DriverDescription* find_driver(const PciIdentity& identity) noexcept;

}  // namespace outboard
