#include "outboard/device/dma_memory.hpp"

#include "outboard/base/error.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace outboard {

namespace {

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) noexcept {
    return (value + alignment - 1) & ~(alignment - 1);
}

/// Takes the pages of a file. What a closing io_uring leaves behind interrupts that on older kernels.
bool take_pages(int fd, std::size_t size) noexcept {
    int result = 0;
    do
        result = ::fallocate(fd, 0, 0, static_cast<off_t>(size));
    while (result != 0 && errno == EINTR);
    return result == 0;
}

/// A file of `size` bytes of memory, all of it there, which nobody can make shorter or longer. Without it -1,
/// and errno says why.
Fd memory_file(std::size_t size, unsigned flags) noexcept {
    Fd fd(::memfd_create("outboard-dma", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
    if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0 || !take_pages(fd.get(), size) ||
        ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return {};
    return fd;
}

/// Maps the file at an address that is a multiple of `alignment`; nullptr, and errno, when that fails.
std::byte* map_aligned(int fd, std::size_t size, std::size_t alignment) noexcept {
    const std::size_t reserved = size + alignment;
    void* reservation =
        ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reservation == MAP_FAILED)
        return nullptr;
    auto* const start = static_cast<std::byte*>(reservation);
    const std::size_t skipped =
        align_up(std::bit_cast<std::uintptr_t>(start), alignment) - std::bit_cast<std::uintptr_t>(start);
    std::byte* const address = start + skipped;
    if (::mmap(address, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) ==
        MAP_FAILED) {
        const int error = errno;
        ::munmap(reservation, reserved);
        errno = error;
        return nullptr;
    }
    if (skipped != 0)
        ::munmap(start, skipped);
    ::munmap(address + size, reserved - skipped - size);
    return address;
}

/// Lets the kernel gather memory into huge pages now: it can without any being reserved (Linux 6.1). A
/// device's accesses are then translated 2 MiB at a time. True when all of the memory that can be is in huge
/// pages.
bool collapse(std::span<std::byte> memory) {
    constexpr int madv_collapse = 25;
    const std::size_t size = memory.size() & ~(DmaMemory::huge_page - 1);
    return size != 0 && ::madvise(memory.data(), size, madv_collapse) == 0;
}

}  // namespace

DmaMemory DmaMemory::make(const DmaMemoryOptions& options, const std::string& device) {
    const std::uint64_t page =
        std::max<std::uint64_t>(options.page, static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
    if (options.size == 0 || options.size > std::numeric_limits<std::size_t>::max() / 4)
        throw Error({.kind = ErrorKind::failed,
                     .action = "create the DMA arena of",
                     .subject = device,
                     .cause = fmt::format("{} bytes is not a size for it", options.size),
                     .remedy = {}});
    DmaMemory memory;
    std::size_t size = align_up(options.size, huge_page);
    if (options.huge_pages && options.size >= huge_page)
        memory.file_ = memory_file(size, MFD_HUGETLB | MFD_HUGE_2MB);
    memory.huge_pages_ = static_cast<bool>(memory.file_);
    if (!memory.file_) {
        size = align_up(options.size, page);
        memory.file_ = memory_file(size, 0);
    }
    if (!memory.file_)
        throw_errno(errno, fmt::format("get {} bytes of memory for DMA by", size), device);
    memory.map(size, device);
    if (options.huge_pages && !memory.huge_pages_)
        memory.huge_pages_ = collapse(memory.bytes_);
    return memory;
}

DmaMemory DmaMemory::adopt(Fd file, std::size_t size, const std::string& device) {
    struct stat status{};
    if (::fstat(file.get(), &status) != 0)
        throw_errno(errno, "look at the DMA memory of", device);
    // A file that could become shorter would take mapped memory away.
    const int seals = ::fcntl(file.get(), F_GET_SEALS);
    if (size == 0 || std::uint64_t{size} != static_cast<std::uint64_t>(status.st_size) || seals < 0 ||
        (seals & F_SEAL_SHRINK) == 0)
        throw Error({.kind = ErrorKind::failed,
                     .action = "use the DMA memory of",
                     .subject = device,
                     .cause = fmt::format("what was handed over is no sealed file of {} bytes", size),
                     .remedy = {}});
    DmaMemory memory;
    memory.file_ = std::move(file);
    memory.map(size, device);
    return memory;
}

void DmaMemory::map(std::size_t size, const std::string& device) {
    std::byte* const address = map_aligned(file_.get(), size, alignment);
    if (!address)
        throw_errno(errno, fmt::format("map {} bytes of DMA memory of", size), device);
    bytes_ = {address, size};
}

DmaMemory::DmaMemory(DmaMemory&& other) noexcept
    : file_(std::move(other.file_)),
      bytes_(std::exchange(other.bytes_, {})),
      huge_pages_(other.huge_pages_) {}

DmaMemory::~DmaMemory() {
    if (!bytes_.empty())
        ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace outboard
