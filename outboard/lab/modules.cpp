#include "outboard/lab/modules.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <sstream>

namespace outboard::lab {

namespace {

// What drivers and exports need, the in-kernel drivers of the lab's devices (the peers and oracles of ours),
// and file systems. A kernel that has one built in, or lacks it, is fine.
constexpr const char* standard_modules =
    "vfio vfio_iommu_type1 vfio_pci uio_pci_generic pci_stub ublk_drv tun uinput cuse fuse nbd vduse "
    "virtio_pci virtio_console virtio_blk virtio_net virtio_input virtio_iommu "
    "sd_mod sg ata_piix ahci ata_generic pata_cmd64x pata_sil680 sata_sil nvme "
    "e1000 e1000e igb 8139cp 8139too ne2k_pci af_packet veth "
    "8250_pci evdev xhci_pci usbhid usb_storage msr "
    "null_blk brd loop ext4 vfat nls_ascii nls_cp437 nls_utf8 crc32c_generic crc32c_intel";

std::vector<std::string> words_of(const std::string& text) {
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), std::istream_iterator<std::string>()};
}

std::string module_name(const std::string& path) {
    const std::string file = std::filesystem::path(path).filename().string();
    return ModuleIndex::normal(file.substr(0, file.find('.')));
}

std::string decompressed_name(const std::string& path) {
    const std::size_t ko = path.rfind(".ko");
    return path.substr(0, ko) + ".ko";
}

}  // namespace

std::string ModuleIndex::normal(const std::string& name) {
    std::string result = name;
    std::ranges::replace(result, '-', '_');
    return result;
}

ModuleIndex::ModuleIndex(const std::string& modules_dep) {
    std::istringstream lines(modules_dep);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos)
            continue;
        const std::string path = line.substr(0, colon);
        paths_[module_name(path)] = path;
        std::istringstream words(line.substr(colon + 1));
        for (std::string word; words >> word;)
            needs_[path].push_back(word);
    }
}

std::set<std::string> ModuleIndex::closure(const std::vector<std::string>& names) const {
    std::set<std::string> result;
    for (const std::string& name : names) {
        const auto found = paths_.find(normal(name));
        if (found == paths_.end())
            continue;
        result.insert(found->second);
        // depmod lists the dependencies of the dependencies too.
        if (const auto needs = needs_.find(found->second); needs != needs_.end())
            result.insert(needs->second.begin(), needs->second.end());
    }
    return result;
}

std::string reduced_modules_dep(const std::string& modules_dep, const std::set<std::string>& paths) {
    std::string result;
    std::istringstream lines(modules_dep);
    for (std::string line; std::getline(lines, line);) {
        if (!paths.contains(line.substr(0, line.find(':'))))
            continue;
        std::istringstream words(line);
        std::string separator;
        for (std::string word; words >> word; separator = " ") {
            const bool first = word.ends_with(':');
            result += separator + decompressed_name(word) + (first ? ":" : "");
        }
        result += "\n";
    }
    return result;
}

std::string reduced_aliases(const std::string& modules_alias, const std::set<std::string>& names) {
    std::string result;
    std::istringstream lines(modules_alias);
    for (std::string line; std::getline(lines, line);)
        if (names.contains(ModuleIndex::normal(line.substr(line.rfind(' ') + 1))))
            result += line + "\n";
    return result;
}

void add_modules(FileSet& files, const Kernel& kernel, const ModuleWishes& wishes) {
    const std::string dependencies = read_text(kernel.module_tree / "modules.dep");
    const ModuleIndex index(dependencies);
    std::vector<std::string> wanted = words_of(standard_modules);
    for (const std::string& name : wishes.extra) {
        if (!index.contains(name))
            throw Error({.kind = ErrorKind::not_found,
                         .action = "add the module",
                         .subject = name,
                         .cause = "the kernel " + kernel.release + " has none of that name",
                         .remedy = "look into " + kernel.module_tree.string()});
        wanted.push_back(name);
    }
    std::set<std::string> paths = index.closure(wanted);
    std::erase_if(paths, [&](const std::string& path) {
        return std::ranges::any_of(wishes.without, [&](const std::string& name) {
            return ModuleIndex::normal(name) == module_name(path);
        });
    });
    const std::string root = "/usr/lib/modules/" + kernel.release + "/";
    std::set<std::string> names;
    for (const std::string& path : paths) {
        names.insert(module_name(path));
        if (path.ends_with(".ko"))
            files.add_file(root + path, kernel.module_tree / path);
        else
            files.add_compressed(root + decompressed_name(path), kernel.module_tree / path);
    }
    files.add_text(root + "modules.dep", reduced_modules_dep(dependencies, paths));
    files.add_text(root + "modules.alias",
                   reduced_aliases(read_text(kernel.module_tree / "modules.alias"), names));
    for (const char* name : {"modules.builtin", "modules.order"})
        if (std::filesystem::exists(kernel.module_tree / name))
            files.add_file(root + name, kernel.module_tree / name);
}

}  // namespace outboard::lab
