// A kernel for the lab, fetched and made ready to boot.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

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

/// Dependencies between modules, as modules.dep has them. Module names have '_' where file names may have
/// '-'.
class ModuleIndex {
  public:
    /// Parses the text of modules.dep.
    explicit ModuleIndex(const std::string& modules_dep);

    /// The paths (relative to the module tree) of `names` and all they need. Names the kernel does not have
    /// are left out: it has them built in, or was built without them.
    std::set<std::string> closure(const std::vector<std::string>& names) const;

    /// Whether there is a module of that name.
    bool contains(const std::string& name) const { return paths_.contains(normal(name)); }

    /// "snd-hda" and "snd_hda" are the same module: the latter.
    static std::string normal(const std::string& name);

  private:
    std::map<std::string, std::string> paths_;
    std::map<std::string, std::vector<std::string>> needs_;
};

}  // namespace outboard::lab
