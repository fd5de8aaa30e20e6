// Region memory that a server shares: files, mapped into this process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace outboard::vfio_user {

/// True when [offset, offset + size) of the file behind `fd` is there and stays there: nobody can make the
/// file shorter. A file that is not sealed against that yet is sealed here where that is possible (memfd with
/// MFD_ALLOW_SEALING). An access to a mapped page that is no longer in its file would kill this process.
bool stays_whole(int fd, std::uint64_t offset, std::uint64_t size) noexcept;

/// Owns a shared mapping of a part of a file. Movable.
class FileMapping {
  public:
    /// Throws nothing: memory() is empty, and errno says why, when the kernel refuses. `protection` is as for
    /// mmap.
    FileMapping(int fd, std::uint64_t offset, std::uint64_t size, int protection) noexcept;
    FileMapping(FileMapping&& other) noexcept : memory_(std::exchange(other.memory_, {})) {}
    FileMapping& operator=(FileMapping&& other) noexcept {
        std::swap(memory_, other.memory_);
        return *this;
    }
    FileMapping(const FileMapping&) = delete;
    FileMapping& operator=(const FileMapping&) = delete;
    ~FileMapping();

    std::span<std::byte> memory() const noexcept { return memory_; }

  private:
    std::span<std::byte> memory_;
};

}  // namespace outboard::vfio_user
