// What the loads of the disk tests write: content that tells its place on the disk and how often it was
// written.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace outboard::test {

/// The content of a block when it was written for the `version`th time; version 0 is zeros.
inline void fill_block(std::span<std::byte> block, std::uint64_t lba, std::uint32_t version) {
    std::uint64_t state = lba * 0x9e3779b97f4a7c15 ^ version * 0xd1b54a32d192ed03ULL;
    for (std::size_t i = 0; i < block.size(); i += 8) {
        state = state * 6364136223846793005 + 1442695040888963407;
        const std::uint64_t word = version == 0 ? 0 : state;
        std::memcpy(&block[i], &word, 8);
    }
}

inline bool block_is(std::span<const std::byte> block, std::uint64_t lba, std::uint32_t version) {
    std::array<std::byte, 4096> wanted{};
    fill_block(std::span(wanted).first(block.size()), lba, version);
    return std::memcmp(block.data(), wanted.data(), block.size()) == 0;
}

}  // namespace outboard::test
