#include "outboard/base/guarded_mapping.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <limits>
#include <mutex>
#include <utility>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace outboard {

namespace {

/// Read by the signal handler, which may run at any time in any thread: atomics without locks only. A slot
/// with size 0 is free.
struct Slot {
    std::atomic<std::byte*> begin{nullptr};
    std::atomic<std::size_t> size{0};
};
static_assert(std::atomic<std::byte*>::is_always_lock_free && std::atomic<std::size_t>::is_always_lock_free);

constexpr std::size_t slots = 65536;
std::array<Slot, slots> table;
std::atomic<std::size_t> table_end{0};  // slots from there on were never used
std::mutex table_mutex;                 // for those who change it
std::size_t next_slot = 0;
struct sigaction earlier_action{};

void on_bus_error(int number, siginfo_t* information, void* context) {
    const auto* const address = static_cast<std::byte*>(information->si_addr);
    const std::size_t end = table_end.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < end; ++i) {
        const std::size_t size = table[i].size.load(std::memory_order_acquire);
        std::byte* const begin = table[i].begin.load(std::memory_order_relaxed);
        if (size == 0 || address < begin || address >= begin + size)
            continue;
        const int saved = errno;
        const bool replaced =
            ::mmap(begin, size, PROT_READ | PROT_WRITE,
                   MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
        errno = saved;
        if (replaced)
            return;
    }
    if ((earlier_action.sa_flags & SA_SIGINFO) != 0) {
        earlier_action.sa_sigaction(number, information, context);
    } else if (earlier_action.sa_handler != SIG_DFL && earlier_action.sa_handler != SIG_IGN) {
        earlier_action.sa_handler(number);
    } else {
        // The access is made again and ends the process as if there were no handler.
        std::signal(SIGBUS, SIG_DFL);
    }
}

void install_handler() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action{};
        action.sa_sigaction = on_bus_error;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        ::sigaction(SIGBUS, &action, &earlier_action);
    });
}

/// The slot taken, or `slots` when all are.
std::size_t take_slot(std::span<std::byte> bytes) {
    const std::scoped_lock lock(table_mutex);
    for (std::size_t tried = 0; tried < slots; ++tried) {
        const std::size_t i = next_slot;
        next_slot = (next_slot + 1) % slots;
        if (table[i].size.load(std::memory_order_relaxed) != 0)
            continue;
        table[i].begin.store(bytes.data(), std::memory_order_relaxed);
        table[i].size.store(bytes.size(), std::memory_order_release);
        if (table_end.load(std::memory_order_relaxed) <= i)
            table_end.store(i + 1, std::memory_order_release);
        return i;
    }
    return slots;
}

bool is_memory(const struct statfs& filesystem) {
    return filesystem.f_type == TMPFS_MAGIC || filesystem.f_type == HUGETLBFS_MAGIC;
}

void give_slot(std::size_t slot) {
    const std::scoped_lock lock(table_mutex);
    table[slot].size.store(0, std::memory_order_release);
    next_slot = slot;
}

}  // namespace

GuardedMapping::GuardedMapping(GuardedMapping&& other) noexcept
    : whole_(std::exchange(other.whole_, {})), bytes_(std::exchange(other.bytes_, {})), slot_(other.slot_) {}

GuardedMapping& GuardedMapping::operator=(GuardedMapping&& other) noexcept {
    if (this != &other) {
        release();
        whole_ = std::exchange(other.whole_, {});
        bytes_ = std::exchange(other.bytes_, {});
        slot_ = other.slot_;
    }
    return *this;
}

GuardedMapping::~GuardedMapping() {
    release();
}

int GuardedMapping::check(int file, std::uint64_t offset, std::uint64_t size, int protection) noexcept {
    struct stat status{};
    if (::fstat(file, &status) != 0)
        return errno;
    if (!S_ISREG(status.st_mode))
        return EOPNOTSUPP;
    const auto file_size = static_cast<std::uint64_t>(status.st_size);
    if (size != 0 && offset <= file_size && size <= file_size - offset) {
        // mmap(2): reading is always needed, and for a shared mapping that is written both are.
        const int access = ::fcntl(file, F_GETFL) & O_ACCMODE;
        const bool allowed = access == O_RDWR || (access == O_RDONLY && (protection & PROT_WRITE) == 0);
        return allowed ? 0 : EACCES;
    }
    struct statfs filesystem{};
    if (::fstatfs(file, &filesystem) != 0)
        return errno;
    return is_memory(filesystem) ? EINVAL : EOPNOTSUPP;
}

int GuardedMapping::map(int file, std::uint64_t offset, std::uint64_t size, int protection) noexcept {
    struct stat status{};
    struct statfs filesystem{};
    if (::fstat(file, &status) != 0 || ::fstatfs(file, &filesystem) != 0)
        return errno;
    if (!S_ISREG(status.st_mode) || !is_memory(filesystem))
        return EOPNOTSUPP;
    const auto file_size = static_cast<std::uint64_t>(status.st_size);
    if (size == 0 || offset > file_size || size > file_size - offset)
        return EINVAL;
    // A file of huge pages is mapped in whole ones.
    const auto page = static_cast<std::uint64_t>(filesystem.f_bsize);
    const std::uint64_t lead = offset % page;
    if (size > std::numeric_limits<std::int64_t>::max() - 2 * page)
        return EINVAL;
    const std::uint64_t length = (lead + size + page - 1) / page * page;
    void* const address = ::mmap(nullptr, length, protection, MAP_SHARED | MAP_NORESERVE, file,
                                 static_cast<off_t>(offset - lead));
    if (address == MAP_FAILED)
        return errno;
    release();
    install_handler();
    whole_ = {static_cast<std::byte*>(address), length};
    slot_ = take_slot(whole_);
    if (slot_ == slots) {
        ::munmap(address, length);
        whole_ = {};
        return ENOSPC;
    }
    bytes_ = whole_.subspan(lead, size);
    return 0;
}

void GuardedMapping::release() noexcept {
    if (whole_.empty())
        return;
    // Before the memory goes: somebody else may get its addresses at once.
    give_slot(slot_);
    ::munmap(whole_.data(), whole_.size());
    whole_ = {};
    bytes_ = {};
}

}  // namespace outboard
