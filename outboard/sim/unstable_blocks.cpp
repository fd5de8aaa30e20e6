#include "outboard/sim/unstable_blocks.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace outboard::sim {

void UnstableBlocks::add(std::uint64_t block, std::span<const std::byte> stable) {
    if (blocks_.size() >= most_)
        settle(blocks_.find(ages_.begin()->second));
    Saved saved{.content = std::make_unique_for_overwrite<std::byte[]>(block_size_), .age = ++last_age_};
    std::ranges::copy(stable, saved.content.get());
    const auto age = ages_.emplace(last_age_, block).first;
    try {
        blocks_.emplace(block, std::move(saved));
    } catch (...) {
        ages_.erase(age);
        throw;
    }
}

void UnstableBlocks::settle(Blocks::iterator place) noexcept {
    ages_.erase(place->second.age);
    blocks_.erase(place);
}

void UnstableBlocks::settle(std::uint64_t first, std::uint64_t count) noexcept {
    if (count > blocks_.size()) {
        for (auto place = blocks_.begin(); place != blocks_.end();) {
            const auto next = std::next(place);
            if (place->first - first < count)
                settle(place);
            place = next;
        }
        return;
    }
    for (std::uint64_t block = first; block < first + count; ++block) {
        if (const auto place = blocks_.find(block); place != blocks_.end())
            settle(place);
    }
}

void UnstableBlocks::settle_all() noexcept {
    blocks_.clear();
    ages_.clear();
}

void UnstableBlocks::take(
    const std::function<void(std::uint64_t block, std::span<const std::byte> stable)>& action) {
    std::vector<std::uint64_t> numbers;
    numbers.reserve(blocks_.size());
    for (const auto& [block, saved] : blocks_)
        numbers.push_back(block);
    std::ranges::sort(numbers);
    for (const std::uint64_t block : numbers)
        action(block, {blocks_.at(block).content.get(), block_size_});
    settle_all();
}

}  // namespace outboard::sim
