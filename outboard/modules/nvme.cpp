// The driver nvme as a module.
#include "outboard/drivers/nvme/nvme.hpp"

#include "outboard/classes/driver_module.hpp"

OUTBOARD_DRIVER_MODULE("nvme", outboard::nvme::devices, outboard::nvme::description);
