// The driver ide as a module.
#include "outboard/drivers/ide/ide.hpp"

#include "outboard/classes/driver_module.hpp"

OUTBOARD_DRIVER_MODULE("ide", outboard::ide::devices, outboard::ide::description);
