// The bytes of a simulated disk: in memory, in a file, or nowhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace outboard::sim {

/// Bytes at offsets. Ranges lie inside size(); results are 0 or an errno value. One thread.
class StorageMedium {
  public:
    StorageMedium() = default;
    StorageMedium(const StorageMedium&) = delete;
    StorageMedium& operator=(const StorageMedium&) = delete;
    StorageMedium(StorageMedium&&) = delete;
    StorageMedium& operator=(StorageMedium&&) = delete;
    virtual ~StorageMedium() = default;

    virtual std::uint64_t size() const noexcept = 0;
    [[nodiscard]] virtual int read(std::uint64_t offset, std::span<std::byte> data) noexcept = 0;
    [[nodiscard]] virtual int write(std::uint64_t offset, std::span<const std::byte> data) noexcept = 0;
    /// Gives the space back; the range reads as zeros afterwards.
    [[nodiscard]] virtual int discard(std::uint64_t offset, std::uint64_t size) noexcept = 0;
};

/// Memory of this process, zero at first, used as it is written: `size` may be far beyond what the machine
/// has. Throws Error.
std::unique_ptr<StorageMedium> make_memory_medium(std::uint64_t size);

/// A raw image file, or a block device; nobody else simulates on it meanwhile. `size` 0: as large as it is.
/// Otherwise a file that does not exist is made with that size, and one that exists must have it. Throws
/// Error.
std::unique_ptr<StorageMedium> make_file_medium(const std::filesystem::path& path, std::uint64_t size);

/// Reads as zeros, forgets what is written.
std::unique_ptr<StorageMedium> make_null_medium(std::uint64_t size);

}  // namespace outboard::sim
