#include "outboard/host/forward_progress.hpp"

#include "outboard/base/error.hpp"
#include "outboard/base/file.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <string_view>

#include <link.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace outboard {

namespace {

constexpr std::uintptr_t page_bytes = 4096;

/// The data path runs in the program itself (whose name is empty here) and in these.
bool on_data_path(std::string_view object) {
    constexpr std::array libraries{"/libc.so", "/liburing.so", "/libstdc++.so", "/libgcc_s.so", "linux-vdso"};
    if (object.empty())
        return true;
    for (const std::string_view library : libraries)
        if (object.find(library) != std::string_view::npos)
            return true;
    return false;
}

/// Reads the pages of a loaded object in, so that none of them has to come from a disk later.
int populate(dl_phdr_info* object, std::size_t /*size*/, void* failed) {
    if (!on_data_path(object->dlpi_name))
        return 0;
    for (unsigned i = 0; i < object->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = object->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD)
            continue;
        const std::uintptr_t start = (object->dlpi_addr + segment.p_vaddr) & ~(page_bytes - 1);
        const std::uintptr_t end =
            (object->dlpi_addr + segment.p_vaddr + segment.p_memsz + page_bytes - 1) & ~(page_bytes - 1);
        if (::madvise(reinterpret_cast<void*>(start), end - start, MADV_POPULATE_READ) != 0)
            *static_cast<int*>(failed) = errno;
    }
    return 0;
}

}  // namespace

std::string begin_forward_progress() {
    if (::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0)
        return {};
    return "cannot mark this thread as an I/O flusher: " + errno_text(errno) +
           "; writing to the disk while memory is short may hang (CAP_SYS_RESOURCE would allow it)";
}

std::vector<std::string> secure_forward_progress() {
    std::vector<std::string> warnings;

    // What is resident stays so, and later pages from their first use; then the code and data of the data
    // path are made resident. Libraries that only other verbs use are left out: locking all that is mapped
    // would pin them as well.
    int failed = 0;
    if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0)
        failed = errno;
    secure_thread();
    ::dl_iterate_phdr(populate, &failed);
    if (failed != 0)
        warnings.push_back("cannot lock the program into memory: " + errno_text(failed) +
                           "; writing to the disk while memory is short may hang (raise RLIMIT_MEMLOCK)");

    try {
        write_attribute("/proc/self/oom_score_adj", "-1000");
    } catch (const Error& error) {
        warnings.push_back(std::string(error.what()) + "; the out-of-memory killer may choose this process");
    }
    return warnings;
}

[[gnu::noinline]] void secure_thread() noexcept {
    constexpr std::size_t depth = std::size_t{64} * 1024;
    std::array<volatile char, depth> pages;
    for (std::size_t at = 0; at < depth; at += page_bytes)
        pages[at] = 0;
}

}  // namespace outboard
