#include "outboard/lab/tools.hpp"

#include "outboard/base/error.hpp"
#include "outboard/lab/apt_archive.hpp"
#include "outboard/lab/layout.hpp"
#include "outboard/lab/process.hpp"

#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;

// Built on this machine, so of the suite whose libc it has.
const std::string& base_suite() {
    return AptArchive::suites().front();
}

// A program of the machine, or of a package of Debian's.
fs::path tool(AptArchive& archive, const std::string& name, const std::string& package) {
    if (const fs::path found = find_program(name); !found.empty())
        return fs::canonical(found);
    const fs::path root = archive.unpack(package, base_suite());
    for (const char* directory : {"usr/bin", "bin", "usr/sbin", "sbin"})
        if (fs::exists(root / directory / name))
            return root / directory / name;
    throw Error({.kind = ErrorKind::not_found,
                 .action = "find",
                 .subject = name,
                 .cause = fmt::format("neither this machine nor the package {} has it", package),
                 .remedy = "install " + package});
}

fs::path library(const fs::path& directory, const std::string& start) {
    for (const auto& entry : fs::directory_iterator(directory))
        if (entry.path().filename().string().starts_with(start))
            return entry.path();
    return {};
}

fs::path build_fio(const fs::path& lab_directory, AptArchive& archive) {
    fs::path target = lab_directory / "fio";
    build_once(target, [&](const fs::path& temporary) {
        const fs::path source = lab_directory / "fio-source";
        fs::remove_all(source);
        archive.unpack_source("fio", base_suite(), source);
        // Relative: the build splits these options at spaces, which the path to here may have.
        const fs::path aio = fs::relative(archive.unpack("libaio-dev", base_suite()) / "usr", source);
        progress("building a static fio (a minute)");
        const std::string include = fmt::format("-I{}", (aio / "include").string());
        const std::string libraries = fmt::format("-L{}", (aio / "lib/x86_64-linux-gnu").string());
        run_command({.argv = {"./configure", "--build-static", "--disable-native", "--disable-numa",
                              "--disable-rdma", "--disable-rados", "--disable-rbd", "--disable-http",
                              "--disable-gfapi", "--disable-lex", "--disable-pmem", "--disable-shm",
                              fmt::format("--extra-cflags={} {}", include, libraries)},
                     .environment = {},
                     .directory = source},
                    "configure", "fio");
        run_command({.argv = {"make", "-j2", "fio", fmt::format("LDFLAGS=-static {}", libraries)},
                     .environment = {},
                     .directory = source},
                    "build", "fio");
        run_command({.argv = {"strip", "-o", temporary.string(), (source / "fio").string()},
                     .environment = {},
                     .directory = {}},
                    "strip", "fio");
        fs::remove_all(source);
    });
    return target;
}

}  // namespace

Tools find_tools(const fs::path& lab_directory, AptArchive& archive, bool with_debugger) {
    Tools tools;
    tools.busybox = tool(archive, "busybox", "busybox-static");
    if (!shared_libraries(tools.busybox).empty())
        tools.busybox = archive.unpack("busybox-static", base_suite()) / "bin/busybox";
    constexpr std::array<std::array<const char*, 2>, 7> wanted{{{"dash", "dash"},
                                                                {"bash", "bash"},
                                                                {"mke2fs", "e2fsprogs"},
                                                                {"e2fsck", "e2fsprogs"},
                                                                {"lspci", "pciutils"},
                                                                {"setpci", "pciutils"},
                                                                {"blkid", "util-linux"}}};
    for (const auto& [name, package] : wanted)
        tools.programs[name] = tool(archive, name, package);
    if (with_debugger) {
        tools.programs["gdbserver"] = tool(archive, "gdbserver", "gdbserver");
        // gdbserver loads it by name, to find a process's threads.
        if (const fs::path threads = library("/lib/x86_64-linux-gnu", "libthread_db.so.1"); !threads.empty())
            tools.dlopened.push_back(threads);
    }
    tools.fio = build_fio(lab_directory, archive);
    const fs::path names = "/usr/share/misc/pci.ids";
    tools.pci_ids =
        fs::exists(names) ? names : archive.unpack("pci.ids", base_suite()) / "usr/share/misc/pci.ids";
    return tools;
}

}  // namespace outboard::lab
