#include "outboard/lab/layout.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace outboard::lab {

namespace {

namespace fs = std::filesystem;

// A build tree knows its source tree by CMakeCache.txt.
std::optional<fs::path> source_tree(const fs::path& start) {
    for (fs::path at = start; at.has_relative_path(); at = at.parent_path()) {
        std::ifstream cache(at / "CMakeCache.txt");
        constexpr std::string_view key = "CMAKE_HOME_DIRECTORY:INTERNAL=";
        for (std::string line; std::getline(cache, line);)
            if (line.starts_with(key))
                return fs::path(line.substr(key.size()));
    }
    return std::nullopt;
}

fs::path default_directory() {
    if (const auto source = source_tree(program_directory()); source && fs::is_directory(*source))
        return *source / "build" / "lab";
    if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0')
        return fs::path(cache) / "outboard" / "lab";
    const char* home = std::getenv("HOME");
    return fs::path(home != nullptr ? home : "/tmp") / ".cache" / "outboard" / "lab";
}

}  // namespace

fs::path program_directory() {
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    if (error)
        throw_errno(error.value(), "read", "/proc/self/exe", "mount /proc");
    return program.parent_path();
}

fs::path lab_directory(const fs::path& given) {
    const char* variable = std::getenv("OUTBOARD_LAB_DIR");
    fs::path directory = given;
    if (directory.empty() && variable != nullptr)
        directory = variable;
    if (directory.empty())
        directory = default_directory();
    std::error_code error;
    fs::create_directories(directory, error);
    if (error)
        throw_errno(error.value(), "create", directory.string(), "choose another directory with --cache");
    return fs::canonical(directory);
}

PartsLock::PartsLock(const fs::path& directory) : fd_(open_file(directory / "lock", O_RDWR | O_CREAT)) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(20);
    bool told = false;
    while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            throw_errno(errno, "lock", (directory / "lock").string());
        if (std::chrono::steady_clock::now() > deadline)
            throw Error({.kind = ErrorKind::timed_out,
                         .action = "lock",
                         .subject = (directory / "lock").string(),
                         .cause = "another lab has been building parts for 20 minutes",
                         .remedy = "end that lab"});
        if (!told)
            progress("waiting for another lab that is building parts");
        told = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

void progress(const std::string& line) {
    std::fprintf(stderr, "lab: %s\n", line.c_str());
}

void build_once(const fs::path& target, const std::function<void(const fs::path&)>& build) {
    if (fs::exists(target))
        return;
    fs::path temporary = target;
    temporary += ".new";
    fs::remove_all(temporary);
    fs::create_directories(target.parent_path());
    try {
        build(temporary);
        fs::rename(temporary, target);
    } catch (...) {
        std::error_code ignored;
        fs::remove_all(temporary, ignored);
        throw;
    }
}

std::string digest(const std::string& text) {
    // FNV-1a: collisions among a handful of parts on one machine are not a concern.
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return fmt::format("{:016x}", hash);
}

std::string file_stamp(const fs::path& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0)
        throw_errno(errno, "read", path.string());
    return fmt::format("{} {} {}.{}", path.string(), status.st_size, status.st_mtim.tv_sec,
                       status.st_mtim.tv_nsec);
}

}  // namespace outboard::lab
