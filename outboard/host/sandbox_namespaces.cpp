// Namespaces in which there is nothing. They take CAP_SYS_ADMIN: a host that is started without rights goes
// without them.
#include "outboard/base/error.hpp"
#include "outboard/host/sandbox_parts.hpp"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <ranges>
#include <string>
#include <vector>

#include <fcntl.h>
#include <mntent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace outboard::detail {

namespace {

/// Any directory that is always there: the empty file system lies over it until it is the root.
constexpr const char* mount_point = "/proc";

/// Lets go of all that is mounted below the root. A file system that somebody unmounts would stay in use for
/// as long as this process had it; one that stays all the same is one that cannot go from under this process.
void unmount_all() {
    std::vector<std::string> mounted;
    if (const std::unique_ptr<FILE, int (*)(FILE*)> table(::setmntent("/proc/self/mounts", "re"),
                                                          ::endmntent);
        table != nullptr)
        while (const mntent* const entry = ::getmntent(table.get()))
            mounted.emplace_back(entry->mnt_dir);
    for (const std::string& path : mounted | std::views::reverse)
        if (path != "/")
            ::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

/// Makes an empty file system the root. 0 or an errno value.
int empty_root() {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return errno;
    unmount_all();
    if (::mount("outboard", mount_point, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                "size=4k,nr_inodes=2,mode=0555") != 0 ||
        ::chdir(mount_point) != 0)
        return errno;
    // The old root comes to lie over the new one, and goes from there. A root that the kernel itself made
    // (an initramfs) stays where it is: then the process alone sees another one.
    if (::syscall(SYS_pivot_root, ".", ".") == 0) {
        if (::umount2(".", MNT_DETACH) != 0)
            return errno;
    } else if (::chroot(".") != 0) {
        return errno;
    }
    if (::chdir("/") != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                nullptr) != 0)
        return errno;
    return 0;
}

}  // namespace

void leave_namespaces(SandboxReport& report) {
    const auto absent = [&report](const char* what, int error) {
        report.absent.push_back(std::string(what) + ": " + errno_text(error));
    };
    if (::unshare(CLONE_NEWNET) == 0)
        report.no_network = true;
    else
        absent("a network namespace of its own", errno);
    if (::unshare(CLONE_NEWIPC | CLONE_NEWUTS) != 0)
        absent("an IPC namespace of its own", errno);
    if (const int error = empty_root(); error == 0)
        report.no_files = true;
    else
        absent("an empty file system of its own", error);
}

}  // namespace outboard::detail
