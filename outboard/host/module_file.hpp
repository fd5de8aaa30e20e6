// The file of a driver module: what it says of itself, without running it, and how it is loaded.
#pragma once

#include "outboard/base/fd.hpp"
#include "outboard/classes/driver.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace outboard {

/// What a module's note says (classes/driver_module.hpp).
struct ModuleDescription {
    std::uint32_t interface_version = 0;
    std::unique_ptr<const std::string> driver;                ///< its name
    std::vector<PciMatch> devices;                            ///< with names that lie in `names`
    std::unique_ptr<const std::vector<std::string>> names{};  ///< where they stay when this moves
};

/// Reads the note of an ELF file that lies in memory. `path` is what messages call it. Throws Error: it is no
/// module, or its note is damaged.
ModuleDescription parse_module(std::span<const std::byte> file, const std::string& path);

/// A module's file, opened and looked at. What it has described is what is loaded: the file can be replaced,
/// the descriptor stays.
struct ModuleFile {
    std::filesystem::path path;
    Fd fd;
    ModuleDescription description;
};

/// Opens a module. Throws Error: no module, one for another interface version, or one that others than its
/// owner, who is root or this user, may write.
ModuleFile open_module(const std::filesystem::path& path);

/// Loads a module into this process, for good, and runs its constructors. In a sandbox
/// (SandboxRules::driver_path) the file is the one that was opened before. `driver` is the name that its note
/// gives. Throws Error: it cannot be loaded, or is another driver.
const DriverDescription& load_module(const std::filesystem::path& path, std::string_view driver);

}  // namespace outboard
