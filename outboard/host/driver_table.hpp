// The drivers that this program can have: those that are built in, and modules (docs/modules.md).
#pragma once

#include "outboard/classes/driver.hpp"
#include "outboard/host/module_file.hpp"

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace outboard {

/// An entry in the table. What it says of a module is what the module's file says: nothing of it was run.
struct KnownDriver {
    std::string_view name{};
    const DriverDescription* built_in = nullptr;  ///< none: it is a module
    ModuleDescription module{};                   ///< what a module says
    std::filesystem::path file{};                 ///< of a module

    /// The controller's name when the driver can drive it, an empty text otherwise.
    std::string_view match(const PciIdentity& identity) const noexcept;
};

/// The drivers that are built in, in the order in which they are asked.
std::span<const DriverDescription* const> built_in_drivers() noexcept;

/// All of them: modules first, the one added last before the others, so that a module can stand in for what
/// is built in. Valid until one is added.
std::span<const KnownDriver> known_drivers();

/// The driver for a device, or nullptr when there is none.
const KnownDriver* find_driver(const PciIdentity& identity);

/// Adds a module. While the program starts, by its only thread. Throws Error as open_module does.
void add_driver_module(const std::filesystem::path& file);

/// Adds every module of a folder (liboutboard-driver-*.so). Returns the message of each that cannot be had; a
/// folder that does not exist has none.
std::vector<std::string> add_driver_modules(const std::filesystem::path& folder);

/// Where modules are installed; OUTBOARD_DRIVERS in the environment names another folder.
std::filesystem::path driver_folder();

/// The driver's own description; that of a module is loaded into this process, for good. Throws Error.
const DriverDescription& load_driver(const KnownDriver& driver);

/// The driver for the device that messages call `device`; with a `name`, that of the driver which shall have
/// it. Throws Error when there is none, or it does not know the device.
const KnownDriver& require_driver(const std::string& device, const PciIdentity& identity,
                                  std::string_view name = {});

}  // namespace outboard
