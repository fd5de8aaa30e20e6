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

/// io_uring: the run loop of every driver.
Check check_io_uring();

/// ublk with its features and the block devices that killed processes left behind: asks the kernel, through
/// io_uring.
std::vector<Check> check_ublk();

/// Whether a driver of this program knows the device.
Check check_outboard_driver(const PciIdentity& identity);

/// One device: driver, IOMMU group and its other members, users, rights, reset, interrupts. An address at
/// which there is nothing is one failed check.
std::vector<Check> check_device(const Inventory& inventory, const PciAddress& address);

/// A device that a server offers, by name ("vfio-user:PATH"): whether the server answers, driver, regions and
/// how much of them is shared memory, interrupts.
std::vector<Check> check_served_device(const std::string& name);

}  // namespace outboard
