// A disk used by our driver and by the kernel's in turn; each program says how either reaches it.
#pragma once

#include <memory>

#include "tests/support/disk_load.hpp"
#include "tests/support/kernel_disk.hpp"

namespace outboard::guest {

/// The disk under our driver, opened, until the last owner goes. Of two numbers, 0 and 1, each is a disk; the
/// same where there is one only.
std::shared_ptr<test::Ours> open_ours(unsigned number);

/// The same disk under the kernel's driver.
test::KernelDisk open_kernels(unsigned number);

}  // namespace outboard::guest
