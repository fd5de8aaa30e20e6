// The driver edu as a module.
#include "outboard/drivers/edu/edu.hpp"

#include "outboard/classes/driver_module.hpp"

OUTBOARD_DRIVER_MODULE("edu", outboard::edu::devices, outboard::edu::description);
