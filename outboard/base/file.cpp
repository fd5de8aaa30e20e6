#include "outboard/base/file.hpp"

#include "outboard/base/error.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>

namespace outboard {

namespace {

/// Returns 0, or the errno value that stopped the reading.
int read_all(int fd, std::string& text) {
    std::array<char, 4096> chunk{};
    for (;;) {
        const ssize_t count = ::read(fd, chunk.data(), chunk.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return errno;
        if (count == 0)
            break;
        text.append(chunk.data(), static_cast<std::size_t>(count));
    }
    text.erase(text.find_last_not_of(" \t\r\n") + 1);
    return 0;
}

}  // namespace

Fd open_file(const std::filesystem::path& path, int flags, unsigned mode) {
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
    if (!fd)
        throw_errno(errno, "open", path.string());
    return fd;
}

std::optional<std::string> try_read_text(const std::filesystem::path& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    if (!fd || read_all(fd.get(), text) != 0)
        return std::nullopt;
    return text;
}

std::string read_text(const std::filesystem::path& path) {
    const Fd fd = open_file(path, O_RDONLY);
    std::string text;
    if (const int error = read_all(fd.get(), text); error != 0)
        throw_errno(error, "read", path.string());
    return text;
}

void write_attribute(const std::filesystem::path& path, std::string_view text) {
    const Fd fd = open_file(path, O_WRONLY);
    const ssize_t count = ::write(fd.get(), text.data(), text.size());
    if (count < 0)
        throw_errno(errno, "write", path.string());
    if (static_cast<std::size_t>(count) != text.size())
        throw_errno(EIO, "write all of the text to", path.string());
}

}  // namespace outboard
