#include "outboard/lab/qemu.hpp"

#include "outboard/base/error.hpp"
#include "outboard/lab/apt_archive.hpp"
#include "outboard/lab/process.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;

constexpr const char* program_name = "qemu-system-x86_64";

bool knows_device(const fs::path& program, const std::string& device) {
    const std::string list =
        run_command({.argv = {program.string(), "-device", "help"}, .environment = {}, .directory = {}},
                    "ask", program.string());
    return list.find(fmt::format("name \"{}\"", device)) != std::string::npos;
}

Qemu unpacked_qemu(AptArchive& archive, const std::string& suite) {
    const fs::path root = archive.unpack_with_dependencies("qemu-system-x86", suite);
    const fs::path libraries = root / "usr/lib/x86_64-linux-gnu";
    const std::string library_path =
        fmt::format("{}:{}", libraries.string(), (root / "lib/x86_64-linux-gnu").string());
    const std::string program = (root / "usr/bin" / program_name).string();
    Qemu qemu{.program = program,
              .argv = {program},
              .environment = {"QEMU_MODULE_DIR=" + (libraries / "qemu").string()}};
    // A QEMU of a newer Debian brings a newer C library, which only its own loader can load.
    const fs::path loader = libraries / "ld-linux-x86-64.so.2";
    if (fs::exists(loader))
        qemu.argv = {loader.string(), "--library-path", library_path, program};
    else
        qemu.environment.push_back("LD_LIBRARY_PATH=" + library_path);
    // Firmware comes from the package, and from the machine where it has what the package needs.
    for (const fs::path& top : {root, fs::path("/")})
        for (const char* directory : {"usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"})
            if (fs::exists(top / directory))
                qemu.argv.insert(qemu.argv.end(), {"-L", (top / directory).string()});
    return qemu;
}

}  // namespace

Qemu find_qemu(AptArchive& archive, const std::string& wish, const std::vector<std::string>& devices) {
    if (wish == "newer")
        return unpacked_qemu(archive, newer_qemu_suite);
    if (std::ranges::count(AptArchive::suites(), wish) != 0)
        return unpacked_qemu(archive, wish);
    const std::string name = wish == "auto" ? program_name : wish;
    const fs::path program = find_program(name);
    if (program.empty())
        throw Error(
            {.kind = ErrorKind::not_found,
             .action = "start the lab's machine with",
             .subject = name,
             .cause = "this machine has no such program",
             .remedy = "run apt-get install qemu-system-x86, or use --qemu newer, which installs nothing"});
    // The only device of the lab that Debian 12's own QEMU lacks.
    const bool wants_igb = std::ranges::any_of(
        devices, [](const std::string& device) { return device == "igb" || device.starts_with("igb,"); });
    if (wish == "auto" && wants_igb && !knows_device(program, "igb"))
        return unpacked_qemu(archive, newer_qemu_suite);
    return {.program = program.string(), .argv = {program.string()}, .environment = {}};
}

}  // namespace outboard::lab
