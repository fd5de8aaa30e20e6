#include "outboard/sim/storage_medium.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/fd.hpp"
#include "outboard/base/file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

namespace outboard::sim {

namespace {

/// Frees the space of a range of a file, which then reads as zeros.
int punch(int fd, std::uint64_t offset, std::uint64_t size) noexcept {
    if (size == 0)
        return 0;
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    while (::fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(size)) != 0) {
        if (errno != EINTR)
            return errno;
    }
    return 0;
}

class MemoryMedium final : public StorageMedium {
  public:
    MemoryMedium(Fd fd, std::span<std::byte> bytes) noexcept : fd_(std::move(fd)), bytes_(bytes) {}
    MemoryMedium(const MemoryMedium&) = delete;
    MemoryMedium& operator=(const MemoryMedium&) = delete;
    MemoryMedium(MemoryMedium&&) = delete;
    MemoryMedium& operator=(MemoryMedium&&) = delete;
    ~MemoryMedium() override { ::munmap(bytes_.data(), bytes_.size()); }

    std::uint64_t size() const noexcept override { return bytes_.size(); }
    int read(std::uint64_t offset, std::span<std::byte> data) noexcept override {
        std::memcpy(data.data(), bytes_.data() + offset, data.size());
        return 0;
    }
    int write(std::uint64_t offset, std::span<const std::byte> data) noexcept override {
        std::memcpy(bytes_.data() + offset, data.data(), data.size());
        return 0;
    }
    int discard(std::uint64_t offset, std::uint64_t size) noexcept override {
        return punch(fd_.get(), offset, size);
    }

  private:
    Fd fd_;
    std::span<std::byte> bytes_;
};

class FileMedium final : public StorageMedium {
  public:
    FileMedium(Fd fd, std::uint64_t size) noexcept : fd_(std::move(fd)), size_(size) {}

    std::uint64_t size() const noexcept override { return size_; }
    int read(std::uint64_t offset, std::span<std::byte> data) noexcept override {
        while (!data.empty()) {
            const ssize_t count = ::pread(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset));
            if (count < 0 && errno == EINTR)
                continue;
            if (count <= 0)
                return count < 0 ? errno : EIO;  // 0: somebody has cut the file
            data = data.subspan(static_cast<std::size_t>(count));
            offset += static_cast<std::uint64_t>(count);
        }
        return 0;
    }
    int write(std::uint64_t offset, std::span<const std::byte> data) noexcept override {
        while (!data.empty()) {
            const ssize_t count = ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset));
            if (count < 0 && errno == EINTR)
                continue;
            if (count < 0)
                return errno;
            data = data.subspan(static_cast<std::size_t>(count));
            offset += static_cast<std::uint64_t>(count);
        }
        return 0;
    }
    int discard(std::uint64_t offset, std::uint64_t size) noexcept override {
        return punch(fd_.get(), offset, size);
    }

  private:
    Fd fd_;
    std::uint64_t size_;
};

class NullMedium final : public StorageMedium {
  public:
    explicit NullMedium(std::uint64_t size) noexcept : size_(size) {}

    std::uint64_t size() const noexcept override { return size_; }
    int read(std::uint64_t, std::span<std::byte> data) noexcept override {
        std::ranges::fill(data, std::byte{});
        return 0;
    }
    int write(std::uint64_t, std::span<const std::byte>) noexcept override { return 0; }
    int discard(std::uint64_t, std::uint64_t) noexcept override { return 0; }

  private:
    std::uint64_t size_;
};

constexpr std::string_view action = "keep a simulated disk's content in";

/// Opens the image, or makes one of `size` bytes when there is none. `created` tells which.
Fd open_image(const std::filesystem::path& path, std::uint64_t size, bool& created) {
    const int flags = O_RDWR | O_CLOEXEC;
    Fd fd(::open(path.c_str(), flags));
    created = !fd && errno == ENOENT && size > 0;
    if (created)
        fd.reset(::open(path.c_str(), flags | O_CREAT | O_EXCL, 0644));
    if (!fd)
        throw_errno(errno, action, path.string(),
                    errno == ENOENT ? "state a size, so that it can be made" : "");
    return fd;
}

}  // namespace

std::unique_ptr<StorageMedium> make_memory_medium(std::uint64_t size) {
    const std::string what = fmt::format("{} bytes of memory", size);
    Fd fd(::memfd_create("outboard-disk", MFD_CLOEXEC));
    if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
        throw_errno(errno, action, what);
    void* const address =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
    if (address == MAP_FAILED)
        throw_errno(errno, action, what);
    return std::make_unique<MemoryMedium>(std::move(fd),
                                          std::span<std::byte>(static_cast<std::byte*>(address), size));
}

std::unique_ptr<StorageMedium> make_file_medium(const std::filesystem::path& path, std::uint64_t size) {
    bool created = false;
    Fd fd = open_image(path, size, created);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        const int error = errno == EWOULDBLOCK ? EBUSY : errno;
        throw_errno(error, action, path.string(), "end the simulation that uses it");
    }
    if (created && ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
        throw_errno(errno, action, path.string());
    const off_t end = ::lseek(fd.get(), 0, SEEK_END);
    if (end < 0)
        throw_errno(errno, action, path.string());
    const auto found = static_cast<std::uint64_t>(end);
    if (size != 0 && size != found)
        throw Error({.kind = ErrorKind::usage,
                     .action = std::string(action),
                     .subject = path.string(),
                     .cause = fmt::format("it has {} bytes, not {}", found, size),
                     .remedy = "leave the size out, or name a file that does not exist yet"});
    return std::make_unique<FileMedium>(std::move(fd), found);
}

std::unique_ptr<StorageMedium> make_null_medium(std::uint64_t size) {
    return std::make_unique<NullMedium>(size);
}

}  // namespace outboard::sim
