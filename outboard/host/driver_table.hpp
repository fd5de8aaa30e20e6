// The drivers that are built in.
#pragma once

#include "outboard/classes/driver.hpp"

#include <span>
#include <string>
#include <string_view>

namespace outboard {

/// All of them, in the order in which they are asked.
std::span<const DriverDescription* const> built_in_drivers() noexcept;

/// The driver for a device, or nullptr when there is none.
const DriverDescription* find_driver(const PciIdentity& identity) noexcept;

/// The same for the device that messages call `device`; with a `name`, that of the driver which shall have
/// it. Throws Error when there is none, or it does not know the device.
const DriverDescription& require_driver(const std::string& device, const PciIdentity& identity,
                                        std::string_view name = {});

}  // namespace outboard
