// A file of another process, mapped into this one. That process may shorten the file afterwards: touching
// what is gone would raise SIGBUS and end this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace outboard {

/// Owns one mapping. While any exists the process has a SIGBUS handler: an access to a mapping whose file is
/// gone replaces the mapping by zeroed memory of the process's own and goes on; any other SIGBUS does what it
/// would have done. Movable; each is used by one thread at a time.
class GuardedMapping {
  public:
    GuardedMapping() noexcept = default;
    GuardedMapping(GuardedMapping&& other) noexcept;
    GuardedMapping& operator=(GuardedMapping&& other) noexcept;
    GuardedMapping(const GuardedMapping&) = delete;
    GuardedMapping& operator=(const GuardedMapping&) = delete;
    ~GuardedMapping();

    /// What can be said without mapping: EINVAL and EOPNOTSUPP as with map(), which may find more, and EACCES
    /// for a file that is not open for that. Returns 0 or an errno value.
    [[nodiscard]] static int check(int file, std::uint64_t offset, std::uint64_t size,
                                   int protection) noexcept;

    /// Maps `size` bytes at `offset` of `file`, which may be closed afterwards; `protection` as for mmap(2).
    /// EOPNOTSUPP: the file is not kept in memory (tmpfs, memfd, hugetlbfs), so that an access may take for
    /// ever; EINVAL: the file is shorter; ENOSPC: too many mappings. Returns 0 or an errno value.
    [[nodiscard]] int map(int file, std::uint64_t offset, std::uint64_t size, int protection) noexcept;

    /// Empty when nothing is mapped. The other process changes these bytes whenever it likes: copy, then
    /// check.
    std::span<std::byte> bytes() const noexcept { return bytes_; }

  private:
    void release() noexcept;

    std::span<std::byte> whole_;  ///< as mapped: whole pages of the file's own size
    std::span<std::byte> bytes_;
    std::size_t slot_ = 0;  ///< of the table that the SIGBUS handler reads
};

}  // namespace outboard
