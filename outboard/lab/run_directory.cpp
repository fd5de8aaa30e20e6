#include "outboard/lab/run_directory.hpp"

#include "outboard/base/error.hpp"
#include "outboard/lab/layout.hpp"

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;

constexpr const char* memory_directory = "/dev/shm";
constexpr const char* scratch_prefix = "outboard-lab-";

bool fits_in_memory(const std::vector<Disk>& disks) {
    std::uint64_t wanted = std::uint64_t{256} << 20;  // the initramfs
    for (const Disk& disk : disks)
        wanted += disk.file.empty() ? disk.size : 0;
    struct statvfs space{};
    return ::access(memory_directory, W_OK) == 0 && ::statvfs(memory_directory, &space) == 0 &&
           space.f_bavail * space.f_frsize > wanted;
}

// The process id is the number at the end of the name.
void remove_leftovers(const fs::path& parent) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(parent, ignored)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with(scratch_prefix))
            continue;
        const char* const end = name.data() + name.size();
        pid_t pid = 0;
        const auto number = std::from_chars(name.data() + std::string_view(scratch_prefix).size(), end, pid);
        if (number.ec != std::errc() || number.ptr != end || pid <= 0)
            continue;
        if (::kill(pid, 0) != 0 && errno == ESRCH)
            fs::remove_all(entry.path(), ignored);
    }
}

void remove_older_than_a_day(const fs::path& parent) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(parent, ignored))
        if (fs::file_time_type::clock::now() - entry.last_write_time(ignored) > std::chrono::hours(24))
            fs::remove_all(entry.path(), ignored);
}

}  // namespace

RunDirectory::RunDirectory(const fs::path& lab_directory, const std::vector<Disk>& disks, bool keep)
    : keep_(keep) {
    const fs::path runs = lab_directory / "runs";
    fs::create_directories(runs);
    remove_older_than_a_day(runs);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    logs_ = runs /
            fmt::format("{}-{}", std::chrono::duration_cast<std::chrono::seconds>(now).count(), ::getpid());
    const fs::path parent = fits_in_memory(disks) ? fs::path(memory_directory) : runs;
    remove_leftovers(parent);
    scratch_ = parent / fmt::format("{}{}", scratch_prefix, ::getpid());
    for (const fs::path& path : {logs_, scratch_}) {
        fs::remove_all(path);
        fs::create_directories(path);
    }
    // Disk images may hold what others must not read.
    fs::permissions(scratch_, fs::perms::owner_all);
}

RunDirectory::~RunDirectory() {
    std::error_code ignored;
    if (!keep_) {
        fs::remove_all(scratch_, ignored);
        return;
    }
    fs::remove(scratch_ / "initramfs", ignored);
    fs::remove(scratch_ / "run.cpio", ignored);
    fs::path kept = scratch_;
    kept += "-kept";
    fs::rename(scratch_, kept, ignored);
    progress(fmt::format("disk images are kept in {}", kept.string()));
}

}  // namespace outboard::lab
