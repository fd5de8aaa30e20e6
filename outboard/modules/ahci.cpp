// The driver ahci as a module.
#include "outboard/drivers/ahci/ahci.hpp"

#include "outboard/classes/driver_module.hpp"

OUTBOARD_DRIVER_MODULE("ahci", outboard::ahci::devices, outboard::ahci::description);
