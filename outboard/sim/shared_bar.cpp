#include "outboard/sim/shared_bar.hpp"

#include "outboard/base/error.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace outboard::sim {

SharedBar::SharedBar(std::uint64_t size) : fd_(::memfd_create("bar", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    if (!fd_ || ::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0 ||
        ::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        throw_errno(errno, "create", "the memory of a BAR");
    void* const address =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_.get(), 0);
    if (address == MAP_FAILED)
        throw_errno(errno, "map", "the memory of a BAR");
    bytes_ = {static_cast<std::byte*>(address), size};
}

SharedBar::~SharedBar() {
    ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace outboard::sim
