#include "outboard/lab/kernel.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"
#include "outboard/lab/apt_archive.hpp"
#include "outboard/lab/bzimage.hpp"
#include "outboard/lab/kernel_choice.hpp"
#include "outboard/lab/layout.hpp"
#include "outboard/lab/process.hpp"

#include <chrono>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& path, const std::string& bytes) {
    std::ofstream file(path, std::ios::binary);
    file << bytes;
    file.close();
    if (!file)
        throw_errno(errno, "write", path.string());
}

std::string read_bytes(const fs::path& path) {
    const std::ifstream file(path, std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    if (!file)
        throw_errno(errno, "read", path.string());
    return std::move(bytes).str();
}

// The image is in /boot, or since 7.2 beside the modules.
fs::path find_image(const fs::path& root, const std::string& release) {
    for (const fs::path& candidate :
         {root / "boot" / ("vmlinuz-" + release), root / "usr/lib/modules" / release / "vmlinuz"})
        if (fs::exists(candidate))
            return candidate;
    throw Error({.kind = ErrorKind::not_found,
                 .action = "find",
                 .subject = "the kernel image of " + release,
                 .cause = "its package has none where Debian's kernels have it",
                 .remedy = "choose another kernel with --kernel"});
}

void make_kernel(const fs::path& directory, AptArchive& archive, const KernelPackage& package) {
    const fs::path image_root = archive.unpack(package.image);
    PackageVersion modules = package.image;
    if (package.modules_are_separate)
        modules.name = "linux-modules-" + package.release;
    const fs::path module_root = archive.unpack(modules);
    progress("preparing the kernel " + package.release);
    fs::create_directories(directory);
    write_file(directory / "vmlinux", vmlinux_of(read_bytes(find_image(image_root, package.release))));
    // Moved, not copied: a module tree is 100 to 400 MB, and the packages serve no other purpose.
    const fs::path from =
        fs::exists(module_root / "lib/modules") ? module_root / "lib" : module_root / "usr/lib";
    fs::rename(from, directory / "lib");
    run_command(
        {.argv = {"depmod", "-b", directory.string(), package.release}, .environment = {}, .directory = {}},
        "index", "the modules of " + package.release);
    fs::remove_all(image_root);
    fs::remove_all(module_root);
}

bool younger_than_a_day(const fs::path& path) {
    std::error_code error;
    const auto time = fs::last_write_time(path, error);
    return !error && fs::file_time_type::clock::now() - time < std::chrono::hours(24);
}

}  // namespace

Kernel prepare_kernel(const fs::path& lab_directory, AptArchive& archive, const std::string& wish) {
    const fs::path kernels = lab_directory / "kernels";
    fs::create_directories(kernels);
    const fs::path answer = kernels / ("wish-" + wish);
    const auto ready = [&](const std::string& release) {
        const fs::path root = kernels / release;
        return Kernel{
            .release = release, .image = root / "vmlinux", .module_tree = root / "lib/modules" / release};
    };
    if (const auto release = try_read_text(answer);
        release && younger_than_a_day(answer) && fs::exists(kernels / *release))
        return ready(*release);
    const KernelPackage package = choose_kernel(archive.find(kernel_name_pattern), wish);
    build_once(kernels / package.release,
               [&](const fs::path& temporary) { make_kernel(temporary, archive, package); });
    write_file(answer, package.release + "\n");
    return ready(package.release);
}

}  // namespace outboard::lab
