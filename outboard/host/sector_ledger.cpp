#include "outboard/host/sector_ledger.hpp"

#include <algorithm>
#include <cstring>

namespace outboard {

namespace {

constexpr std::size_t word_bytes = sizeof(std::uint64_t);

/// Each word of a sector tells sector, generation and place, so that no piece of another sector, or of
/// another place in this one, passes for it.
std::uint64_t word(std::uint64_t seed, std::uint64_t sector, SectorLedger::Generation generation,
                   std::size_t index) noexcept {
    // Generation 0 was never written: zeros.
    if (generation == 0)
        return 0;
    std::uint64_t value = seed ^ sector << 20 ^ std::uint64_t{generation} << 40 ^ index;
    value = (value ^ value >> 32) * 0xd6e8feb86659fd93U;
    value = (value ^ value >> 32) * 0xd6e8feb86659fd93U;
    return value ^ value >> 32;
}

}  // namespace

SectorLedger::SectorLedger(std::uint64_t sectors, std::uint32_t sector_size, std::uint64_t seed)
    : sector_size_(sector_size), seed_(seed), entries_(sectors) {}

void SectorLedger::fill(std::uint64_t first, Generation generation,
                        std::span<std::byte> data) const noexcept {
    for (; !data.empty(); data = data.subspan(sector_size_), ++first) {
        for (std::size_t i = 0; i < sector_size_ / word_bytes; ++i) {
            const std::uint64_t value = word(seed_, first, generation, i);
            std::memcpy(data.data() + i * word_bytes, &value, word_bytes);
        }
    }
}

void SectorLedger::written(std::uint64_t first, std::uint64_t count, Generation generation) {
    write_failed(first, count, generation);
    for (std::uint64_t sector = first; sector < first + count; ++sector)
        entries_[sector].visible = entries_[sector].history.size() - 1;
}

void SectorLedger::write_failed(std::uint64_t first, std::uint64_t count, Generation generation) {
    ++last_ended_;
    for (std::uint64_t sector = first; sector < first + count; ++sector) {
        Entry& entry = entries_[sector];
        if (entry.history.size() == 1)
            unstable_.push_back(sector);
        entry.history.push_back({.generation = generation, .order = last_ended_});
    }
}

void SectorLedger::flushed(Generation begun) {
    std::erase_if(unstable_, [&](std::uint64_t sector) {
        Entry& entry = entries_[sector];
        // What was visible then is stable now; what a failed write may have left goes with it.
        std::size_t stable = 0;
        while (stable < entry.visible && entry.history[stable + 1].order <= begun)
            ++stable;
        entry.history.erase(entry.history.begin(),
                            entry.history.begin() + static_cast<std::ptrdiff_t>(stable));
        entry.visible -= stable;
        return entry.history.size() == 1;
    });
}

void SectorLedger::power_lost() noexcept {
    for (const std::uint64_t sector : unstable_)
        entries_[sector].visible = 0;
}

bool SectorLedger::matches(std::uint64_t sector, Generation generation,
                           std::span<const std::byte> data) const noexcept {
    for (std::size_t i = 0; i < sector_size_ / word_bytes; ++i) {
        std::uint64_t value = 0;
        std::memcpy(&value, data.data() + i * word_bytes, word_bytes);
        if (value != word(seed_, sector, generation, i))
            return false;
    }
    return true;
}

std::uint64_t SectorLedger::mismatches(std::uint64_t first, std::span<const std::byte> data) const noexcept {
    std::uint64_t count = 0;
    for (std::uint64_t sector = first; !data.empty(); ++sector, data = data.subspan(sector_size_)) {
        const Entry& entry = entries_[sector];
        const auto possible = std::span(entry.history).subspan(entry.visible);
        const auto content = data.first(sector_size_);
        if (std::ranges::none_of(
                possible, [&](const Ending& ending) { return matches(sector, ending.generation, content); }))
            ++count;
    }
    return count;
}

}  // namespace outboard
