// Which QEMU the lab runs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace outboard::lab {

class AptArchive;

/// A QEMU that can be run.
struct Qemu {
    std::string program;                   ///< its path
    std::vector<std::string> argv;         ///< how to run it, up to the first argument of ours
    std::vector<std::string> environment;  ///< "NAME=value"
};

/// The suite whose QEMU is newer than the machine's own and runs with its libraries.
inline constexpr const char* newer_qemu_suite = "bookworm-backports";

/// The QEMU that `wish` means: "auto" is the machine's own, but the newer one when that lacks one of
/// `devices` (names as
/// --device takes them); "newer" is the one of newer_qemu_suite; a suite's name is that suite's; anything
/// else is the path of a program. Those of suites are fetched and run without being installed. The caller
/// holds a PartsLock. Throws Error, with the kind not_found when there is no QEMU.
Qemu find_qemu(AptArchive& archive, const std::string& wish, const std::vector<std::string>& devices);

}  // namespace outboard::lab
