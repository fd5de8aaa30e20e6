// What may lie on a disk that is written while things go wrong: kept beside the disk, and compared with what
// it says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace outboard {

/// Every write gives its sectors a generation of their own, and each sector's content is made of its number
/// and its generation. A write that failed may be on the disk or not; one that was not flushed may be lost
/// with the power. All sectors begin as zeros. One thread.
class SectorLedger {
  public:
    using Generation = std::uint32_t;

    /// `sector_size` is a multiple of 8. `seed` makes the content of two ledgers differ.
    SectorLedger(std::uint64_t sectors, std::uint32_t sector_size, std::uint64_t seed);

    std::uint64_t sectors() const noexcept { return entries_.size(); }
    std::uint32_t sector_size() const noexcept { return sector_size_; }

    /// A generation that no write has had.
    Generation next_generation() noexcept { return ++last_; }
    /// Fills whole sectors from `first` on with the content of a generation.
    void fill(std::uint64_t first, Generation generation, std::span<std::byte> data) const noexcept;

    /// How a write of `count` sectors ended.
    void written(std::uint64_t first, std::uint64_t count, Generation generation);
    void write_failed(std::uint64_t first, std::uint64_t count, Generation generation);
    /// A flush was successful that was begun when `begun` was the last generation of which a write had ended.
    /// What was written until then survives the power.
    void flushed(Generation begun);
    /// For flushed().
    Generation last_ended() const noexcept { return last_ended_; }
    /// The device was without power.
    void power_lost() noexcept;

    /// How many of the sectors that were read hold something that cannot be there.
    std::uint64_t mismatches(std::uint64_t first, std::span<const std::byte> data) const noexcept;

  private:
    struct Ending {
        Generation generation = 0;
        Generation order = 0;  ///< of its end among all ends
    };
    struct Entry {
        std::vector<Ending> history{{}};  ///< the first one is stable, the last one the latest
        std::size_t visible = 0;          ///< from here on each may be what a read gives
    };

    bool matches(std::uint64_t sector, Generation generation, std::span<const std::byte> data) const noexcept;

    std::uint32_t sector_size_;
    std::uint64_t seed_;
    Generation last_ = 0;
    Generation last_ended_ = 0;
    std::vector<Entry> entries_;
    std::vector<std::uint64_t> unstable_;  ///< sectors whose history has more than one entry
};

}  // namespace outboard
