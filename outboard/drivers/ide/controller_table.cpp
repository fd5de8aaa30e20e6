#include "outboard/drivers/ide/controller_table.hpp"

#include <algorithm>

namespace outboard::ide {

const ControllerQuirks* find_controller(const PciIdentity& identity) noexcept {
    const auto* const known = std::ranges::find_if(known_controllers, [&](const ControllerQuirks& quirks) {
        return quirks.vendor == identity.vendor && quirks.device == identity.device;
    });
    if (known != known_controllers.end())
        return known;
    return any_controller.fits(identity) ? &generic : nullptr;
}

bool is_native(const ControllerQuirks& quirks, const PciIdentity& identity, unsigned channel) noexcept {
    return quirks.always_native || (identity.programming_interface >> (2 * channel) & 1) != 0;
}

bool has_bus_master(const ControllerQuirks& quirks, const PciIdentity& identity) noexcept {
    return quirks.memory.has_value() || (identity.programming_interface & 0x80) != 0;
}

}  // namespace outboard::ide
