#include "outboard/sim/models/ide_identify.hpp"

#include "outboard/sim/models/ide_registers.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>

namespace outboard::sim {

namespace {

using Words = std::array<std::uint16_t, 256>;

// The geometry that the standard gives a disk that is beyond it (clause 6.2.1).
constexpr std::uint64_t heads = 16;
constexpr std::uint64_t track = 63;
constexpr std::uint64_t most_cylinders = 16383;

template <class... Positions>
constexpr std::uint16_t bits(Positions... positions) {
    return static_cast<std::uint16_t>((0U | ... | (1U << positions)));
}
/// Bits 15:14 of words whose other bits mean something only then.
constexpr std::uint16_t valid = bits(14);

void put_text(Words& words, std::size_t first, std::size_t count, std::string_view text) {
    for (std::size_t i = 0; i < 2 * count; ++i) {
        const unsigned character = i < text.size() ? static_cast<unsigned char>(text[i]) : ' ';
        words[first + i / 2] |= static_cast<std::uint16_t>(i % 2 == 0 ? character << 8 : character);
    }
}

void put_number(Words& words, std::size_t first, std::size_t count, std::uint64_t number) {
    for (std::size_t i = 0; i < count; ++i)
        words[first + i] = static_cast<std::uint16_t>(number >> (16 * i));
}

void put_geometry(Words& words, const IdeIdentity& identity) {
    const std::uint64_t cylinders =
        std::clamp<std::uint64_t>(identity.sectors / (heads * track), 1, most_cylinders);
    words[1] = words[54] = static_cast<std::uint16_t>(cylinders);
    words[3] = words[55] = static_cast<std::uint16_t>(heads);
    words[6] = words[56] = static_cast<std::uint16_t>(track);
    put_number(words, 57, 2, cylinders * heads * track);
    put_number(words, 60, 2, std::min(identity.sectors, ata::end_of_28));
    if (identity.extended)
        put_number(words, 100, 4, identity.sectors);
    if (identity.sector_size != 512) {
        words[106] = bits(12, 14);
        put_number(words, 117, 2, identity.sector_size / 2);
    }
}

void put_modes(Words& words, const IdeSettings& settings) {
    words[53] = bits(0, 1, 2);  // words 54 to 58, 64 to 70 and 88 are valid
    words[63] = static_cast<std::uint16_t>((2U << ata::fastest_multiword_dma) - 1);
    words[64] = bits(0, 1);                               // PIO 3 and 4
    words[65] = words[66] = words[67] = words[68] = 120;  // cycle times in ns
    words[88] = static_cast<std::uint16_t>((2U << ata::fastest_ultra_dma) - 1);
    const unsigned selected = 8U + (settings.dma_mode & ata::mode_number);
    words[(settings.dma_mode & ata::mode_kind) == ata::mode_ultra_dma ? 88 : 63] |= bits(selected);
}

void put_features(Words& words, const IdeIdentity& identity, const IdeSettings& settings) {
    words[82] = identity.has_write_cache ? bits(5, 6) : bits(6);  // look-ahead, write cache
    words[83] = bits(12, 14);                                     // FLUSH CACHE
    words[84] = valid;
    if (identity.extended) {
        words[83] = bits(10, 12, 13, 14);  // 48-bit commands, FLUSH CACHE EXT
        words[84] = bits(6, 14);           // WRITE DMA FUA EXT
        words[69] = bits(14, 5);           // what was trimmed reads as zeros
        words[105] = ata::most_trim_blocks;
        words[169] = bits(0);  // TRIM
    }
    // The same, as far as it is enabled.
    words[85] = static_cast<std::uint16_t>((settings.look_ahead ? bits(6) : 0) |
                                           (settings.write_cache ? bits(5) : 0));
    words[86] = static_cast<std::uint16_t>(words[83] & ~valid);
    words[87] = words[84];
}

/// Words 75 to 79, 84, 93 and 222 (Serial ATA 3.x, 13.2.1; ACS-3, 7.12.7).
void put_serial_ata(Words& words, const IdeIdentity& identity) {
    words[76] = bits(1, 2, 3);  // 1.5, 3 and 6 Gb/s
    if (identity.queue_depth > 0) {
        words[75] = static_cast<std::uint16_t>(identity.queue_depth - 1);
        words[76] |= bits(8);
    }
    words[84] |= bits(5);  // general purpose logging
    words[87] |= bits(5);
    words[93] = 0;
    words[222] = 0x107f;  // Serial ATA, up to revision 3.1
}

/// The sum of all bytes becomes zero (word 255).
void put_checksum(Words& words) {
    words[255] = 0xa5;
    const auto add = [](unsigned sum, std::uint16_t word) { return sum + (word & 0xffU) + (word >> 8U); };
    const unsigned sum = std::accumulate(words.begin(), words.end(), 0U, add);
    words[255] |= static_cast<std::uint16_t>((0x100U - sum % 0x100U) % 0x100U << 8U);
}

}  // namespace

std::array<std::byte, 512> identify_data(const IdeIdentity& identity, const IdeSettings& settings) {
    Words words{};
    words[0] = bits(6);  // an ATA disk that is not removable
    words[2] = 0xc837;   // needs no SET FEATURES to spin up, and this answer is complete
    put_text(words, 10, 10, identity.serial);
    put_text(words, 23, 4, identity.firmware);
    put_text(words, 27, 20, identity.model);
    words[47] = 0x8000 | ata::most_multiple;
    words[49] = bits(8, 9, 10, 11);  // DMA, LBA, IORDY and that it may be disabled
    words[50] = valid;
    words[59] =
        settings.multiple == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(bits(8) | settings.multiple);
    words[80] = 0x03f0;  // ATA/ATAPI-4 to ACS-2
    // The cable has 80 conductors; each device found itself in order.
    words[93] = identity.unit == 0 ? 0x600b : 0x6b00;
    words[217] = 1;  // nothing rotates
    put_geometry(words, identity);
    put_modes(words, settings);
    put_features(words, identity, settings);
    if (identity.serial_ata)
        put_serial_ata(words, identity);
    put_checksum(words);

    std::array<std::byte, 512> data{};
    for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<std::byte>(words[i / 2] >> (8 * (i % 2)));
    return data;
}

}  // namespace outboard::sim
