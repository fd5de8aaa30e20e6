#include "outboard/ata/identify.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

namespace outboard::ata {

namespace {

using Words = std::span<const std::uint16_t, 256>;

bool bit(Words words, std::size_t word, unsigned position) {
    return (words[word] >> position & 1) != 0;
}

/// Words 82–84, 85–87, 119 and 120 are valid when bit 14 is one and bit 15 is zero.
bool valid(Words words, std::size_t word) {
    return words[word] >> 14 == 1;
}

/// Two characters a word, the first in the high byte. Whatever is not printable ASCII becomes a space.
std::string text(Words words, std::size_t first, std::size_t count) {
    std::string result;
    for (const std::uint16_t word : words.subspan(first, count)) {
        for (const int character : {word >> 8, word & 0xff})
            result += character > ' ' && character < 0x7f ? static_cast<char>(character) : ' ';
    }
    const auto begin = result.find_first_not_of(' ');
    if (begin == std::string::npos)
        return {};
    return result.substr(begin, result.find_last_not_of(' ') - begin + 1);
}

std::uint64_t number(Words words, std::size_t first, std::size_t count) {
    std::uint64_t value = 0;
    for (std::size_t i = count; i-- > 0;)
        value = value << 16 | words[first + i];
    return value;
}

/// Word 255: when its low byte is the signature, the sum of all bytes is zero.
bool checksum_holds(Words words) {
    if ((words[255] & 0xff) != 0xa5)
        return true;
    const auto add = [](unsigned sum, std::uint16_t word) { return sum + (word & 0xffU) + (word >> 8U); };
    return std::accumulate(words.begin(), words.end(), 0U, add) % 256 == 0;
}

bool read_sector_sizes(Words words, DiskIdentity& identity) {
    if (!valid(words, 106))
        return true;
    if (bit(words, 106, 12)) {
        const std::uint64_t half = number(words, 117, 2);  // in words of two bytes
        if (half != 256 && half != 2048)
            return false;
        identity.sector_size = static_cast<std::uint32_t>(half * 2);
    }
    identity.physical_sector_size = identity.sector_size;
    if (bit(words, 106, 13))
        identity.physical_sector_size = identity.sector_size << (words[106] & 0xf);
    return true;
}

void read_dma_modes(Words words, DiskIdentity& identity) {
    // Word 63: multiword DMA modes offered (2:0) and selected (10:8). Word 88: the same of Ultra DMA (6:0,
    // 14:8), valid when bit 2 of word 53 is set.
    const auto highest = [](unsigned bits) { return static_cast<unsigned>(std::bit_width(bits)) - 1; };
    if (const unsigned offered = words[63] & 0x7U; offered != 0)
        identity.best_dma = TransferMode::multiword_dma(highest(offered));
    if (const unsigned selected = words[63] >> 8U & 0x7U; std::has_single_bit(selected))
        identity.selected_dma = TransferMode::multiword_dma(highest(selected));
    if (bit(words, 53, 2)) {
        if (const unsigned offered = words[88] & 0x7fU; offered != 0)
            identity.best_dma = TransferMode::ultra_dma(highest(offered));
        if (const unsigned selected = words[88] >> 8U & 0x7fU; std::has_single_bit(selected))
            identity.selected_dma = TransferMode::ultra_dma(highest(selected));
    }
    identity.dma = bit(words, 49, 8) && identity.best_dma.has_value();
}

void read_features(Words words, DiskIdentity& identity) {
    if (valid(words, 83)) {
        identity.lba48 = bit(words, 83, 10);
        identity.flush = bit(words, 83, 12);
        identity.flush_ext = bit(words, 83, 13) && identity.lba48;
        identity.write_cache = bit(words, 82, 5);
        identity.read_look_ahead = bit(words, 82, 6);
    }
    // Words 76 and 75 (ACS-3, 7.12.7.34 on): all zeros or all ones where the disk is no serial one.
    if (words[76] != 0xffff && bit(words, 76, 8) && identity.lba48 && identity.dma)
        identity.queue_depth = (words[75] & 0x1fU) + 1;
    identity.logs = valid(words, 84) && bit(words, 84, 5);
    if (valid(words, 84))
        identity.force_unit_access = bit(words, 84, 6) && identity.lba48 && identity.dma;
    // A device whose word 87 is not valid does not say what is enabled: a cache it has counts as enabled.
    identity.write_cache_enabled = identity.write_cache && (!valid(words, 87) || bit(words, 85, 5));
    identity.trim = bit(words, 169, 0) && identity.lba48 && identity.dma;
    identity.trim_blocks = words[105] == 0xffff ? std::uint16_t{0} : words[105];
    identity.rotational = words[217] != 1;
}

}  // namespace

std::string to_string(TransferMode mode) {
    const char digit = static_cast<char>('0' + (mode.code & 7));
    switch (mode.code >> 3) {
        case 8:
            return std::string("UDMA") + digit;
        case 4:
            return std::string("MWDMA") + digit;
        default:
            return std::string("PIO") + digit;
    }
}

std::expected<DiskIdentity, std::string_view> parse_identify(Words words) {
    if (bit(words, 0, 15))
        return std::unexpected("it is a packet (ATAPI) device");
    if (!checksum_holds(words))
        return std::unexpected("its identify data has a wrong checksum");
    if (!bit(words, 49, 9))
        return std::unexpected("it has no LBA addressing");

    DiskIdentity identity;
    identity.serial = text(words, 10, 10);
    identity.firmware = text(words, 23, 4);
    identity.model = text(words, 27, 20);
    if (!read_sector_sizes(words, identity))
        return std::unexpected("its logical sectors have neither 512 nor 4096 bytes");
    read_dma_modes(words, identity);
    read_features(words, identity);

    // Words 60–61 hold at most 0x0fffffff sectors; a larger disk states its size in words 100–103.
    identity.sectors = number(words, 60, 2);
    if (identity.sectors > 0x0fffffff)
        return std::unexpected("its 28-bit capacity is above what 28 bits address");
    if (identity.lba48) {
        const std::uint64_t sectors = number(words, 100, 4);
        if (sectors > std::uint64_t{1} << 48)
            return std::unexpected("its 48-bit capacity is above what 48 bits address");
        identity.sectors = std::max(identity.sectors, sectors);
    }
    if (identity.sectors == 0)
        return std::unexpected("it has no sectors");
    return identity;
}

}  // namespace outboard::ata
