// Which QEMU the lab runs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace outboard::lab {

/// A QEMU that can be run.
struct Qemu {
    std::vector<std::string> argv;  ///< the program, and what it needs to find its own parts
};

/// The QEMU that `wish` means: "auto" is the machine's own; else the path of a program. Throws Error with the
/// kind not_found when there is none.
Qemu find_qemu(const std::filesystem::path& lab_directory, const std::string& wish,
               const std::vector<std::string>& devices);

}  // namespace outboard::lab
