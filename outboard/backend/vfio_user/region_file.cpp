#include "outboard/backend/vfio_user/region_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace outboard::vfio_user {

bool stays_whole(int fd, std::uint64_t offset, std::uint64_t size) noexcept {
    // The seal first: what is read afterwards can only grow.
    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (seals < 0 || ((seals & F_SEAL_SHRINK) == 0 && ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0))
        return false;
    struct stat status{};
    if (::fstat(fd, &status) != 0 || status.st_size < 0)
        return false;
    const auto length = static_cast<std::uint64_t>(status.st_size);
    return offset <= length && size <= length - offset;
}

FileMapping::FileMapping(int fd, std::uint64_t offset, std::uint64_t size, int protection) noexcept {
    void* const address = ::mmap(nullptr, size, protection, MAP_SHARED, fd, static_cast<off_t>(offset));
    if (address != MAP_FAILED)
        memory_ = std::span(static_cast<std::byte*>(address), size);
}

FileMapping::~FileMapping() {
    if (!memory_.empty())
        ::munmap(memory_.data(), memory_.size());
}

}  // namespace outboard::vfio_user
