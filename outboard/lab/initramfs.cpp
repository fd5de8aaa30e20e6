#include "outboard/lab/initramfs.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/lab/layout.hpp"
#include "outboard/lab/process.hpp"

#include <algorithm>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <unistd.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;

// 30 to 80 MB each; every build of a program makes one.
constexpr std::size_t most_kept_archives = 24;

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

struct Stripped {
    fs::path program;
    std::map<std::string, fs::path> libraries;
};

// A copy of a program without debug information, and the list of its libraries; both kept in `directory` for
// as long as the program stays the same, because there are many programs and most runs follow the build of
// one.
Stripped stripped_copy(const fs::path& program, const fs::path& directory) {
    const std::string name = program.filename().string();
    const fs::path copy = directory / fmt::format("{}-{}", name, digest(file_stamp(program)));
    build_once(copy, [&](const fs::path& temporary) {
        for (const auto& old : fs::directory_iterator(directory))
            if (const std::string file = old.path().filename().string();
                file.size() == copy.filename().string().size() && file.starts_with(name + "-"))
                fs::remove_all(old.path());
        fs::create_directories(temporary);
        run_command({.argv = {"strip", "--strip-debug", "-o", (temporary / name).string(), program.string()},
                     .environment = {},
                     .directory = {}},
                    "copy", program.string());
        std::ofstream list(temporary / "libraries");
        for (const auto& [path, source] : shared_libraries(program))
            list << path << "\n";
    });
    Stripped result{.program = copy / name, .libraries = {}};
    std::ifstream list(copy / "libraries");
    for (std::string path; std::getline(list, path);)
        result.libraries.emplace(path, path);
    return result;
}

}  // namespace

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
    // What mount tries, so that the kernel loads it.
    files.add_text("/etc/filesystems", "ext4\nvfat\n");
    files.add_text("/etc/hostname", "lab\n");
    files.add_text("/etc/hosts", "127.0.0.1 localhost lab\n");
    files.add_text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
    for (const auto& [name, program] : tools.programs)
        files.add_program("/usr/sbin/" + name, program);
    for (const fs::path& library : tools.dlopened)
        files.add_file("/usr/lib/x86_64-linux-gnu/" + library.filename().string(), library);
    if (!tools.fio.empty())
        files.add_file("/usr/bin/fio", tools.fio);
    if (!tools.pci_ids.empty())
        files.add_file("/usr/share/misc/pci.ids", tools.pci_ids);
    if (files.contains("/usr/sbin/mke2fs"))
        for (const char* name : {"mkfs.ext2", "mkfs.ext4"})
            files.add_link(fmt::format("/usr/sbin/{}", name), "mke2fs");
    // Not busybox: its shell runs its own applets rather than the programs of the same names.
    files.add_link("/usr/bin/sh", "../sbin/dash");
    files.add_link("/usr/bin/bash", "../sbin/bash");
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
        // Unit tests run on the host; in the guest they would only take its memory.
        if (name == "outboard-lab" || name.ends_with("_test"))
            continue;
        const Stripped copy = stripped_copy(entry.path(), stripped);
        const std::string path = name == "outboard-lab-init" ? "/init" : "/usr/bin/" + name;
        files.add_file(path, copy.program);
        files.add_libraries(copy.libraries);
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
    std::vector<fs::directory_entry> kept(fs::directory_iterator(directory), {});
    std::ranges::sort(kept, std::ranges::greater(),
                      [](const auto& entry) { return entry.last_write_time(); });
    for (std::size_t i = most_kept_archives; i < kept.size(); ++i)
        fs::remove(kept[i].path());
    return archive;
}

}  // namespace outboard::lab
