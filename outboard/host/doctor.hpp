// What has to be right on a machine before its devices can be driven from here, looked at one by one.
#pragma once

#include "outboard/backend/pci/inventory.hpp"
#include "outboard/backend/vfio/memory_lock.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace outboard {

enum class CheckResult {
    ok,
    warn,  ///< something does not work, or not yet; the text says what
    fail,  ///< no device can be driven, or not this one
};

/// "ok", "warn" or "FAIL".
const char* to_string(CheckResult result) noexcept;

struct Check {
    std::string name;  ///< stable, for programs: "iommu", "vfio-pci", "group"
    CheckResult result = CheckResult::ok;
    std::string text;         ///< what was found
    std::string remedy = {};  ///< what to do; empty with ok
};

/// Kernel, IOMMU, VFIO modules and their file, huge pages: what files of the kernel tell. `release` is that
/// of uname(2).
std::vector<Check> check_machine(const Inventory& inventory, const std::string& release);

/// Whether `needed` bytes of DMA memory can be locked.
Check check_memory_lock_limit(const vfio::MemoryLock& lock, std::uint64_t needed);

/// io_uring, and ublk with its features and the block devices that killed processes left behind: asks the
/// kernel.
std::vector<Check> check_kernel_interfaces();

/// One device: driver, IOMMU group and its other members, users, rights, reset, interrupts. An address at
/// which there is nothing is one failed check.
std::vector<Check> check_device(const Inventory& inventory, const PciAddress& address);

}  // namespace outboard
