#include "outboard/lab/initramfs.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/lab/layout.hpp"
#include "outboard/lab/process.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <unistd.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;

// What drivers and exports need, the in-kernel drivers of the lab's devices (the peers and oracles of ours),
// and file systems. A kernel that has one built in, or lacks it, is fine.
const std::vector<std::string>& standard_modules() {
    static const std::vector<std::string> names{"vfio",
                                                "vfio_iommu_type1",
                                                "vfio_pci",
                                                "uio_pci_generic",
                                                "ublk_drv",
                                                "tun",
                                                "uinput",
                                                "cuse",
                                                "fuse",
                                                "nbd",
                                                "vduse",
                                                "virtio_pci",
                                                "virtio_console",
                                                "virtio_blk",
                                                "virtio_net",
                                                "virtio_input",
                                                "virtio_iommu",
                                                "evdev",
                                                "sd_mod",
                                                "sg",
                                                "ata_piix",
                                                "ahci",
                                                "ata_generic",
                                                "pata_cmd64x",
                                                "pata_sil680",
                                                "sata_sil",
                                                "nvme",
                                                "e1000",
                                                "e1000e",
                                                "igb",
                                                "8139cp",
                                                "8139too",
                                                "ne2k_pci",
                                                "8250_pci",
                                                "xhci_pci",
                                                "usbhid",
                                                "usb_storage",
                                                "null_blk",
                                                "brd",
                                                "loop",
                                                "ext4",
                                                "vfat",
                                                "nls_ascii",
                                                "nls_cp437",
                                                "nls_utf8",
                                                "crc32c_generic",
                                                "crc32c_intel",
                                                "af_packet",
                                                "veth",
                                                "msr",
                                                "pci_stub"};
    return names;
}

std::string file_name_without_ko(const std::string& path) {
    const std::string file = fs::path(path).filename().string();
    return ModuleIndex::normal(file.substr(0, file.find('.')));
}

std::string decompressed_name(const std::string& path) {
    const std::size_t ko = path.rfind(".ko");
    return path.substr(0, ko) + ".ko";
}

void add_busybox(FileSet& files, const fs::path& busybox) {
    files.add_file("/usr/bin/busybox", busybox);
    std::istringstream applets(run_command(
        {.argv = {busybox.string(), "--list"}, .environment = {}, .directory = {}}, "list", "busybox"));
    for (std::string name; std::getline(applets, name);)
        if (!files.contains("/usr/bin/" + name) && !files.contains("/usr/sbin/" + name))
            files.add_link("/usr/bin/" + name, "busybox");
    // The kernel calls /sbin/modprobe.
    files.add_link("/usr/sbin/modprobe", "../bin/busybox");
}

}  // namespace

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
    std::vector<std::string> wanted = standard_modules();
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
            return ModuleIndex::normal(name) == file_name_without_ko(path);
        });
    });
    const std::string root = "/usr/lib/modules/" + kernel.release + "/";
    std::set<std::string> names;
    for (const std::string& path : paths) {
        names.insert(file_name_without_ko(path));
        if (path.ends_with(".ko"))
            files.add_file(root + path, kernel.module_tree / path);
        else
            files.add_compressed(root + decompressed_name(path), kernel.module_tree / path);
    }
    files.add_text(root + "modules.dep", reduced_modules_dep(dependencies, paths));
    files.add_text(root + "modules.alias",
                   reduced_aliases(read_text(kernel.module_tree / "modules.alias"), names));
    for (const char* name : {"modules.builtin", "modules.order"})
        files.add_file(root + name, kernel.module_tree / name);
}

FileSet system_files(const Kernel& kernel, const Tools& tools, const ModuleWishes& wishes) {
    FileSet files;
    for (const char* path : {"/dev", "/proc", "/sys", "/run", "/mnt", "/etc", "/var/tmp", "/usr/bin",
                             "/usr/sbin", "/usr/lib64", "/usr/lib/x86_64-linux-gnu"})
        files.add_directory(path);
    files.add_directory("/root", 0700);
    files.add_directory("/tmp", 01777);
    for (const char* path : {"bin", "sbin", "lib", "lib64"})
        files.add_link(fmt::format("/{}", path), fmt::format("usr/{}", path));
    files.add_link("/etc/mtab", "../proc/self/mounts");
    files.add_text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n");
    files.add_text("/etc/group", "root:x:0:\ndisk:x:6:\nuser:x:1000:\n");
    files.add_text("/etc/hostname", "lab\n");
    files.add_text("/etc/hosts", "127.0.0.1 localhost lab\n");
    files.add_text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
    for (const fs::path& program : tools.programs)
        files.add_program("/usr/sbin/" + program.filename().string(), program);
    for (const fs::path& library : tools.dlopened)
        files.add_file("/usr/lib/x86_64-linux-gnu/" + library.filename().string(), library);
    if (!tools.fio.empty())
        files.add_file("/usr/bin/fio", tools.fio);
    if (!tools.pci_ids.empty())
        files.add_file("/usr/share/misc/pci.ids", tools.pci_ids);
    if (files.contains("/usr/sbin/mke2fs"))
        for (const char* name : {"mkfs.ext2", "mkfs.ext4"})
            files.add_link(fmt::format("/usr/sbin/{}", name), "mke2fs");
    add_busybox(files, tools.busybox);
    add_modules(files, kernel, wishes);
    return files;
}

FileSet project_files(const fs::path& programs, const fs::path& stripped) {
    fs::create_directories(stripped);
    FileSet files;
    for (const auto& entry : fs::directory_iterator(programs)) {
        if (!entry.is_regular_file() || ::access(entry.path().c_str(), X_OK) != 0)
            continue;
        const std::string name = entry.path().filename().string();
        if (name == "outboard-lab")
            continue;
        const fs::path copy = stripped / fmt::format("{}-{}", name, digest(file_stamp(entry.path())));
        build_once(copy, [&](const fs::path& temporary) {
            for (const auto& old : fs::directory_iterator(stripped))
                if (const std::string file = old.path().filename().string();
                    file.size() == name.size() + 17 && file.starts_with(name + "-"))
                    fs::remove(old.path());
            run_command({.argv = {"strip", "--strip-debug", "-o", temporary.string(), entry.path().string()},
                         .environment = {},
                         .directory = {}},
                        "copy", entry.path().string());
        });
        files.add_program(name == "outboard-lab-init" ? "/init" : "/usr/bin/" + name, entry.path(), copy);
    }
    if (!files.contains("/init"))
        throw Error({.kind = ErrorKind::not_found,
                     .action = "find",
                     .subject = (programs / "outboard-lab-init").string(),
                     .cause = "the first program of the guest has to be beside the outboard program",
                     .remedy = "build the whole project"});
    return files;
}

fs::path kept_archive(const FileSet& files, const fs::path& directory) {
    fs::create_directories(directory);
    fs::path archive = directory / (digest(files.description()) + ".cpio");
    build_once(archive, [&](const fs::path& temporary) { files.write_cpio(temporary); });
    fs::last_write_time(archive, fs::file_time_type::clock::now());
    for (const auto& entry : fs::directory_iterator(directory))
        if (fs::file_time_type::clock::now() - entry.last_write_time() > std::chrono::hours(24 * 7))
            fs::remove(entry.path());
    return archive;
}

}  // namespace outboard::lab
