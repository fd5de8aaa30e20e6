// A kernel for the lab, fetched and made ready to boot.
#pragma once

#include <filesystem>
#include <string>

namespace outboard::lab {

class AptArchive;

/// A kernel that is ready to boot.
struct Kernel {
    std::string release;                ///< what `uname -r` says
    std::filesystem::path image;        ///< the ELF vmlinux, for PVH
    std::filesystem::path module_tree;  ///< the directory lib/modules/RELEASE, with the indices of depmod
};

/// The kernel that `wish` ("6.12", "newest", a whole release) means, under `lab_directory`; fetches it when
/// it is not there yet. An answer is remembered for a day. The caller holds a PartsLock. Throws Error.
Kernel prepare_kernel(const std::filesystem::path& lab_directory, AptArchive& archive,
                      const std::string& wish);

}  // namespace outboard::lab
