// Kernel modules for the guest: which, with what they need, and where modprobe finds them.
#pragma once

#include "outboard/lab/file_set.hpp"
#include "outboard/lab/kernel.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace outboard::lab {

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

/// Which modules the guest gets.
struct ModuleWishes {
    std::vector<std::string> extra;  ///< beside those every lab has; Error when the kernel has no such module
    std::vector<std::string> without;  ///< left out, so that a test can see a kernel without them
};

/// Module files and indices (modules.dep, modules.alias) of the modules that the lab needs of `kernel`.
/// Throws Error.
void add_modules(FileSet& files, const Kernel& kernel, const ModuleWishes& wishes);

/// The lines of modules.dep whose modules are in `paths`, with the names of decompressed files.
std::string reduced_modules_dep(const std::string& modules_dep, const std::set<std::string>& paths);

/// The lines of modules.alias or modules.softdep whose modules are in `names`.
std::string reduced_aliases(const std::string& modules_alias, const std::set<std::string>& names);

}  // namespace outboard::lab
