// What a power cut takes from a disk: for each block in its volatile write cache, the content before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>

namespace outboard::sim {

/// Blocks by number with their last stable content. When there are too many the oldest becomes stable by
/// itself, as a disk writes its cache back in time. One thread.
class UnstableBlocks {
  public:
    /// At most `most` blocks of `block_size` bytes.
    UnstableBlocks(std::size_t block_size, std::size_t most) : block_size_(block_size), most_(most) {}

    bool contains(std::uint64_t block) const { return blocks_.contains(block); }
    std::size_t count() const noexcept { return blocks_.size(); }

    /// Notes a block that is not in it yet. `stable` is what a power cut would bring back. May throw
    /// std::bad_alloc, and then notes nothing.
    void add(std::uint64_t block, std::span<const std::byte> stable);
    /// The blocks from `first` on are stable as they are now.
    void settle(std::uint64_t first, std::uint64_t count) noexcept;
    void settle_all() noexcept;

    /// Calls for every block, in order of number, with its last stable content, and forgets all.
    void take(const std::function<void(std::uint64_t block, std::span<const std::byte> stable)>& action);

  private:
    struct Saved {
        std::unique_ptr<std::byte[]> content;
        std::uint64_t age = 0;  ///< its key in ages_
    };
    using Blocks = std::unordered_map<std::uint64_t, Saved>;

    void settle(Blocks::iterator place) noexcept;

    std::size_t block_size_;
    std::size_t most_;
    Blocks blocks_;
    std::map<std::uint64_t, std::uint64_t> ages_;  ///< running number to block: the first is the oldest
    std::uint64_t last_age_ = 0;
};

}  // namespace outboard::sim
