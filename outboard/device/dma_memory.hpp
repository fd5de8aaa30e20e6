// The memory of an arena: a sealed memfd, mapped into this process.
#pragma once

#include "outboard/base/fd.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace outboard {

struct DmaMemoryOptions {
    std::size_t size = 0;       ///< bytes; rounded up to whole pages
    std::uint64_t page = 4096;  ///< the smallest unit that can be mapped for the device, a power of two
    bool huge_pages = true;     ///< try 2 MiB pages first when the size is worth it; never required
};

/// Owns the file and its mapping. Another process that is handed the file maps the same memory. Movable once
/// made; used by one thread.
class DmaMemory {
  public:
    static constexpr std::size_t huge_page = std::size_t{2} << 20;
    /// The address is a multiple of this.
    static constexpr std::size_t alignment = huge_page;

    /// New memory, all of it there, of a size that nobody can change. `device` is what messages speak of.
    /// Throws Error.
    static DmaMemory make(const DmaMemoryOptions& options, const std::string& device);
    /// Memory that another process made. Throws Error when `file` is none of `size` bytes that keeps its
    /// size.
    static DmaMemory adopt(Fd file, std::size_t size, const std::string& device);

    DmaMemory(DmaMemory&& other) noexcept;
    DmaMemory& operator=(DmaMemory&&) = delete;
    DmaMemory(const DmaMemory&) = delete;
    DmaMemory& operator=(const DmaMemory&) = delete;
    ~DmaMemory();

    std::span<std::byte> bytes() const noexcept { return bytes_; }
    int fd() const noexcept { return file_.get(); }
    /// All of it that can be lies in huge pages, as far as is known.
    bool huge_pages() const noexcept { return huge_pages_; }

  private:
    DmaMemory() = default;
    void map(std::size_t size, const std::string& device);

    Fd file_;
    std::span<std::byte> bytes_;
    bool huge_pages_ = false;
};

}  // namespace outboard
