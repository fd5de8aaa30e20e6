// What the guest boots into: parts that are kept, and one that is made for each run.
#pragma once

#include "outboard/lab/file_set.hpp"
#include "outboard/lab/kernel.hpp"
#include "outboard/lab/modules.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace outboard::lab {

/// Programs that the host or a package gives to the guest.
struct Tools {
    std::filesystem::path busybox;  ///< a static one
    std::filesystem::path fio;      ///< a static one
    std::map<std::string, std::filesystem::path>
        programs;                                 ///< dynamic ones, by name; copied with their libraries
    std::vector<std::filesystem::path> dlopened;  ///< libraries that these load by name
    std::filesystem::path pci_ids;                ///< names of PCI devices; may be empty
};

/// The part that changes with the kernel and the machine's tools only: directories, users, modules, tools.
FileSet system_files(const Kernel& kernel, const Tools& tools, const ModuleWishes& wishes);

/// The part with the project's programs: all of `programs` (a directory) but the lab itself, stripped copies
/// of which are kept in `stripped`. The lab's init among them becomes /init. Throws Error.
FileSet project_files(const std::filesystem::path& programs, const std::filesystem::path& stripped);

/// Writes a file set below `directory` once and returns the archive. Only those used last are kept.
std::filesystem::path kept_archive(const FileSet& files, const std::filesystem::path& directory);

}  // namespace outboard::lab
